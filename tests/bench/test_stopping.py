"""The loop that shows when each stopping criterion speaks, on groups that are easily told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.real_features import RealSet, real_features
from bench.stopping import measure


def groups(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (np.eye(3, 6)[y] * 4.0 + rng.normal(scale=0.5, size=(n, 6))).astype(np.float32), y


def test_each_criterion_has_a_row_and_speaks_once_the_groups_are_known() -> None:
    data = RealSet(*groups(400, 0), *groups(90, 1))
    rows = measure("groups", data, "margin", 0, (6, 6, 60))
    assert [row["criterion"] for row in rows] == [
        "stabilizing_predictions", "overall_uncertainty", "minimum_expected_error", "expected_gain", "cluster_coverage",
    ]  # fmt: skip
    by_name = {row["criterion"]: row for row in rows}
    assert {row["labels_at_the_end"] for row in rows} == {60}
    assert {row["accuracy_at_the_end"] for row in rows} == {1.0}
    # Three comparisons of successive models are needed: the fourth model is the first that it can speak of.
    assert by_name["stabilizing_predictions"]["stops_at"] == 24
    assert by_name["stabilizing_predictions"]["accuracy_then"] == 1.0
    assert by_name["minimum_expected_error"]["value"] <= 0.05
    # A hundred clusters and sixty labels.
    assert by_name["cluster_coverage"]["stops_at"] is None


def test_kept_features_are_read_and_classes_numbered(tmp_path: Path) -> None:
    X, y = groups(12, 0)
    for part in ("train", "test"):
        np.savez(tmp_path / f"agnews.{part}.npz", X=X, y=np.array(["b", "c", "a"])[y])
    data = real_features("agnews", tmp_path)
    assert data.n_classes == 3
    assert data.y.tolist() == [1, 2, 0] * 4
    np.testing.assert_array_equal(data.test_features, X)


def test_without_the_data_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINNOW_BENCH_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="WINNOW_BENCH_DATA names no folder with banking77"):
        real_features("banking77")
