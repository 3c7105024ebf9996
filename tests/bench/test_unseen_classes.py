"""How soon all classes are met: what is counted, and that names reach the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import unseen_classes
from bench.label_sets import PLANS, Plan, label_set


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(PLANS, "agnews", Plan(first=5, step=5, then=(), span=15, budget=15, random_budget=15))
    (tmp_path / "features").mkdir()
    for part, n in (("train", 204), ("test", 60)):
        rng = np.random.default_rng(n)
        y = np.where(np.arange(n) < n - 4, np.arange(n) % 5, 5)
        X = (np.eye(6, 8)[y] + rng.normal(scale=0.15, size=(n, 8))).astype(np.float32)
        np.savez(tmp_path / "features" / f"agnews.{part}.npz", X=X, y=y)
    np.savez(tmp_path / "features" / "agnews.classes.npz", vectors=np.eye(6, 8, dtype=np.float32))
    monkeypatch.delenv("WINNOW_BENCH_DATA", raising=False)
    return tmp_path


def test_names_that_are_kept_go_with_their_classes(folder: Path) -> None:
    whole = label_set("agnews", "plain", folder / "features")
    assert whole.class_vectors is not None
    np.testing.assert_array_equal(whole.class_vectors["3"], np.eye(6, 8)[3])
    assert label_set("agnews", "plain", folder / "features", names="none").class_vectors is None
    assert label_set("agnews", "plain", folder / "features", names="numbers").class_vectors is None, "none are kept"
    turned = label_set("agnews", "rotated", folder / "features")
    assert turned.class_vectors is not None
    angles = turned.encoded[0] @ turned.class_vectors["3"]
    np.testing.assert_allclose(angles, whole.encoded[0] @ whole.class_vectors["3"], atol=1e-5)


def test_the_command_counts_the_classes_that_each_kind_of_name_meets(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["unseen_classes", "--out", str(folder), "--sets", "agnews/plain", "--names", "none", "true"]
    monkeypatch.setattr(sys, "argv", [*command, "--seeds", "1", "--steps", "3"])
    unseen_classes.main()
    without, named = (json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert (without["names"], named["names"]) == ("none", "true")
    assert named["labels"] == "5 10 15"
    assert [float(met) for met in named["classes"].split()][1] == 6.0
    assert [float(met) for met in without["classes"].split()][1] < 6.0
    assert 0.5 < named["mean_accuracy"] <= 1.0
    assert len(list((folder / "unseen").iterdir())) == 2
