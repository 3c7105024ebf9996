"""The benchmark of ranking by size of the pool."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.scale import exponent, measure


def test_an_exponent_is_the_slope_between_logarithms() -> None:
    assert exponent([10, 100, 1_000], [2.0, 20.0, 200.0]) == pytest.approx(1.0)
    assert exponent([10, 1_000], [5.0, 5.0]) == pytest.approx(0.0)
    assert exponent([10, 10], [5.0, 6.0]) is None
    assert exponent([10, 100, 1_000], [0.0, 20.0, 200.0]) == pytest.approx(1.0)


def test_each_strategy_has_a_row_for_each_size_and_the_pools_are_gone(tmp_path: Path) -> None:
    found = measure([500, 1_000], ["random", "margin"], dim=8, classes=3, batch=20, repeat=1, folder=tmp_path)
    assert [(row["rows"], row["strategy"]) for row in found["pools"]] == [
        (500, "random"), (500, "margin"), (1_000, "random"), (1_000, "margin"),
    ]  # fmt: skip
    assert all(row["wall_ms"] > 0.0 and row["extra_mb"] >= 0.0 for row in found["pools"])
    assert [row["strategy"] for row in found["growth"]] == ["random", "margin"]
    assert all(row["wall_ms_exponent"] is not None for row in found["growth"])
    assert list(tmp_path.iterdir()) == []


def test_without_the_space_it_says_how_much_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(0, 0, 1_000_000))
    with pytest.raises(OSError, match=r"10,000,000 × 384 take 7\.7 GB"):
        measure([10_000_000], folder=tmp_path)
