"""Which start pays at how many classes: the classes are drawn once, and both starts really differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import class_counts
from bench.label_sets import label_set, some_classes
from sampler.strategies import auto


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    for part, n in (("train", 160), ("test", 60)):
        rng = np.random.default_rng(n)
        y = np.arange(n) % 4
        X = (np.eye(4, 6)[y] * 3.0 + rng.normal(size=(n, 6))).astype(np.float32)
        np.savez(tmp_path / "features" / f"agnews.{part}.npz", X=X, y=y)
    return tmp_path


def test_some_classes_keep_their_rows_and_no_others(folder: Path) -> None:
    whole = label_set("agnews", "plain", folder / "features")
    some = some_classes(whole, 2, draw=3)
    chosen = set(some.pool.labels)
    assert len(chosen) == 2
    assert set(some.test.labels) == chosen
    kept = [row for row, label in enumerate(whole.pool.labels) if label in chosen]
    assert some.pool.labels == tuple(whole.pool.labels[row] for row in kept)
    np.testing.assert_array_equal(some.encoded[0], whole.encoded[0][kept])
    assert {frozenset(some_classes(whole, 2, draw).pool.labels) for draw in range(8)} != {frozenset(chosen)}


def test_each_start_begins_as_it_says() -> None:
    for start, values in class_counts.STARTS.items():
        with pytest.MonkeyPatch.context() as patch:
            for name, value in values.items():
                patch.setattr(auto, name, int(value))
            phases = {
                auto.auto_phase(np.empty(0, np.int64), n_classes, has_model=False).strategy for n_classes in (2, 4, 77)
            }
        assert phases == {start}


def test_a_row_says_how_both_starts_did(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(class_counts, "_BATCHES", 2)
    monkeypatch.setattr(class_counts, "_LEAST_BATCH", 8)
    command = ["class_counts", "--out", str(folder), "--sets", "agnews", "--classes", "2", "9", "--seeds", "1"]
    monkeypatch.setattr(sys, "argv", command)
    class_counts.main()
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(row["classes"], row["draw"]) for row in found] == [(2, 0), (2, 1), (4, 0)]
    for row in found:
        assert row["difference"] == pytest.approx(row["typiclust"] - row["herding"], abs=2e-4)
        assert 0.5 < row["herding"] <= 1.0
    assert any(row["difference"] for row in found)
