from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bench.compression
import models.compression.minilm
from bench.encoder_cost import race, setting_name
from cli.main import app
from models.compression.folder import load_compact
from tests.models.tiny_text_encoder import TEXTS, tiny_tokenizer, tiny_weights


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small encoder instead of MiniLM, and speeds that do not hang on this machine's load."""

    def steady(makes, texts, **options):
        for make in makes.values():
            assert len(make(1)(texts[:2])) == 2
        setting = setting_name(1, 64)
        return {name: {setting: 20.0 if "int8" in name or name == "after" else 10.0} for name in makes}

    monkeypatch.setattr(models.compression.minilm, "load_minilm", lambda: (tiny_weights(), tiny_tokenizer()))
    monkeypatch.setattr(bench.compression, "race", steady)


def write(path: Path, rows: list[dict[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def texts(tmp_path: Path) -> str:
    return write(tmp_path / "pool.jsonl", [{"text": text} for text in TEXTS])


@pytest.fixture
def labels(tmp_path: Path) -> str:
    rows = [{"text": text, "label": "sport" if "goal" in text or "team" in text else "other"} for text in TEXTS]
    return write(tmp_path / "labels.jsonl", rows)


def run(*arguments: str):
    return CliRunner().invoke(app, ["compress", *arguments])


def test_each_step_is_reported_and_what_is_left_is_written(texts, labels, tmp_path):
    out = tmp_path / "encoder"
    done = run(
        "--texts", texts, "--labels", labels, "--steps", "heads=1,int8", "--keep", "0", "--out", str(out), "--json"
    )
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert [row["step"] for row in report["steps"]] == ["torch fp32", "onnx fp32", "onnx int8", "heads=1", "int8"]
    assert report["kept"] == ["heads=1", "int8"]
    assert report["labels"] == {"train": 22, "test": 10}
    last = report["steps"][-1]
    assert last["shape"]["heads"] == [1, 1]
    assert last["times_torch"] == {"1 thread, batch 64": 2.0}
    assert last["mb"] < report["steps"][1]["mb"]
    assert 0 <= last["accuracy"] <= 1
    assert 0 < last["cosine"] <= 1
    compact, manifest = load_compact(out)
    assert compact.digest == report["digest"]
    assert manifest["shape"]["heads"] == [1, 1]
    assert len(manifest["recoveries"]) == 1


def test_what_quantising_would_give_earlier_stands_beside_a_longer_way(texts, labels):
    done = run(
        "--texts", texts, "--labels", labels, "--steps", "vocabulary,layers=1,ffn=48,int8", "--keep", "0", "--json"
    )
    assert done.exit_code == 0, done.output
    rows = {row["step"]: row for row in json.loads(done.stdout)["steps"]}
    assert list(rows)[3:] == ["vocabulary=8000", "layers=1", "layers=1 in int8", "ffn=48", "int8"]
    early = rows["layers=1 in int8"]
    assert (early["kept"], early["shape"]) == (None, rows["layers=1"]["shape"])
    assert (early["shape"]["units"], rows["int8"]["shape"]["units"]) == ([96], [48])
    assert early["mb"] < 0.7 * rows["layers=1"]["mb"]
    assert 0.9 < early["cosine"] / rows["layers=1"]["cosine"] < 1.1


def test_what_costs_too_much_is_left_out_and_it_says_why(texts, labels):
    done = run("--texts", texts, "--labels", labels, "--steps", "int8", "--keep", "1")
    assert done.exit_code == 0, done.output
    assert "of the accuracy" in done.stdout
    assert "Nothing was written" in done.stdout


def test_without_texts_only_what_needs_none_is_done():
    done = run("--json")
    assert done.exit_code == 0, done.output
    assert [row["step"] for row in json.loads(done.stdout)["steps"]] == ["torch fp32", "onnx fp32", "int8"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--steps", "magic"], "magic"),
        (["--steps", "int8,prune"], "Prune first"),
        (["--steps", "prune"], "--texts"),
        (["--test", "pyproject.toml"], "--labels"),
        (["--texts", "no-such-file.jsonl"], "no-such-file"),
        (["--keep", "2"], "--keep"),
    ],
)
def test_wrong_usage_ends_with_2(arguments, says):
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_row_without_a_text_is_named(tmp_path):
    bad = write(tmp_path / "bad.jsonl", [{"text": "a"}, {"body": "b"}])
    done = run("--texts", bad)
    assert done.exit_code == 1
    assert "line 2" in str(done.exception)


def test_a_race_times_each_encoder_in_each_setting():
    found = race({"a": lambda threads: len, "b": lambda threads: len}, ["x"] * 64, repeat=1)
    assert found.keys() == {"a", "b"}
    assert list(found["a"]) == ["1 thread, batch 1", "1 thread, batch 64", "2 threads, batch 1", "2 threads, batch 64"]
    assert min(found["b"].values()) > 0
