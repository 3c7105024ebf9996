"""``winnow demo`` and ``winnow simulate`` as a user runs them, small."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def winnow(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
def test_the_demo_goes_through_the_whole_loop_and_leaves_the_bundle(tmp_path):
    done = winnow("demo", "--rounds", "2", "--seeds", "2", "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["pool"], result["test"], result["labels"]) == (1297, 500, 40)
    assert [row["labels"] for row in result["rounds"]] == [20, 40]
    assert result["accuracy"]["labels"] == 500
    assert result["accuracy"]["low"] < result["accuracy"]["value"] < result["accuracy"]["high"]
    assert [row["labels"] for row in result["curve"]] == [20, 40]
    for row in result["curve"]:
        assert row["auto"]["low"] <= row["auto"]["mean"] <= row["auto"]["high"]
    assert result["bundle"]["accuracy"] == result["student"]["accuracy"] > 0.3
    assert result["student"]["bytes"] < result["teacher"]["bytes"]
    assert zipfile.ZipFile(result["bundle"]["file"]).testzip() is None
    assert (Path(result["bundle"]["folder"]) / "predict.py").exists()
    assert "round 2 of 2" in done.stderr


@pytest.fixture
def features(tmp_path):
    rng = np.random.default_rng(0)
    files = {}
    for name, n in (("pool", 200), ("test", 100)):
        y = rng.integers(3, size=n)
        X = np.eye(3, 8)[y] * 2 + rng.standard_normal((n, 8))
        files[name] = tmp_path / f"{name}.npz"
        np.savez(files[name], X=X.astype(np.float32), y=y)
    return [f"--pool={files['pool']}", f"--test={files['test']}"]


def test_a_simulation_prints_one_object_and_writes_the_same_to_a_file(features, tmp_path):
    small = ["--batch", "10", "--budget", "30", "--seeds", "2", "--student", "none"]
    done = winnow("simulate", *features, *small, "--out", str(tmp_path / "out.json"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert json.loads((tmp_path / "out.json").read_text()) == result
    assert (result["strategy"], result["encoder"], result["n_pool"], result["n_test"]) == ("auto", "none", 200, 100)
    assert [seed["labels"] for seed in result["seeds"]] == [[10, 20, 30]] * 2
    assert result["baseline"]["strategy"] == "random"
    assert set(result["labels_to"]) == {"0.95", "0.98"}


def test_a_simulation_reads_well(features):
    done = winnow("simulate", *features, "--batch", "10", "--budget", "20", "--seeds", "1", "--baseline", "none")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("200 to choose from, 100 to test on, 3 classes, encoder none")
    assert [line.split()[0] for line in done.stdout.splitlines()[2:5]] == ["labels", "10", "20"]
    assert "labels to 95%" in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "no rows"), (b'{"text": "a"}\n', "line 1"), (b"\xff\xfe\n", "UTF-8")],
)
def test_a_file_that_cannot_be_simulated_ends_with_1_and_one_line(tmp_path, content, says):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    done = winnow("simulate", "--pool", str(file), "--test", str(file))
    assert done.returncode == 1
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_strategy_is_said_with_those_that_there_are(features):
    done = winnow("simulate", *features, "--strategy", "astrology")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "clustered_margin" in done.stderr.splitlines()[-1]
