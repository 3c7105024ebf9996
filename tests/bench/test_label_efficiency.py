"""Learning curves in pieces: what is run once, what is reported of it, and the harder variants of a set."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import label_efficiency
from bench.label_cells import Cell, cell_of, cells_in, missing, run_cells
from bench.label_report import median, paired_gain, savings, summary
from bench.label_sets import PLANS, Plan, imbalanced, label_set
from bench.tuned_constants import GRIDS, overridden
from tests.bench.records import record

TINY = Plan(first=6, step=6, then=((18, 12),), span=18, budget=30, random_budget=42)
RANDOM = Cell("agnews", "plain", "random", "raw", 0)


def groups(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (np.eye(3, 6)[y] * 4.0 + rng.normal(scale=1.0, size=(n, 6))).astype(np.float32), y


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(PLANS, "agnews", TINY)
    monkeypatch.delenv("WINNOW_BENCH_DATA", raising=False)  # whose names of classes would be of another encoder
    (tmp_path / "features").mkdir()
    for part, n in (("train", 240), ("test", 60)):
        X, y = groups(n, len(part))
        np.savez(tmp_path / "features" / f"agnews.{part}.npz", X=X, y=y)
    return tmp_path


def test_a_cell_is_run_once_and_again_only_for_a_larger_budget(folder: Path) -> None:
    auto = Cell("agnews", "plain", "auto", "extras", 1)
    budget = {RANDOM: 42, auto: 30}
    assert missing(budget, folder, budget) == [RANDOM, auto]
    records = list(run_cells(budget, folder, budget))
    assert [record["strategy"] for record in records] == ["random", "auto"]
    assert [record["run"]["labels"] for record in records] == [[6, 12, 18, 30, 42], [6, 12, 18, 30]]
    assert [record["run"]["seed"] for record in records] == [0, 1]
    assert {record["full_pool_accuracy"] for record in records} == {records[0]["full_pool_accuracy"]}
    assert {cell_of(record) for record in cells_in(folder)} == {RANDOM, auto}
    assert missing(budget, folder, budget) == []
    assert missing(budget, folder, budget | {RANDOM: 43}) == [RANDOM]


def test_features_that_have_spread_are_kept_from_raw_arms(folder: Path) -> None:
    cells = [RANDOM, replace(RANDOM, features="extras")]
    raw, extras = run_cells(cells, folder, dict.fromkeys(cells, 18))
    assert raw["run"]["queries"] == extras["run"]["queries"]
    assert raw["run"]["accuracy"] != extras["run"]["accuracy"]


def test_the_command_runs_what_is_missing_and_reports(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["label_efficiency", "--out", str(folder), "--sets", "agnews", "--seeds", "2", "--short"]
    for expected in ("6 cells, 6 to run", "6 cells, 0 to run"):
        monkeypatch.setattr(sys, "argv", command)
        label_efficiency.main()
        assert capsys.readouterr().out.startswith(expected)
    monkeypatch.setattr(sys, "argv", [*command, "--report"])
    label_efficiency.main()
    printed = capsys.readouterr().out
    assert (
        len([line for line in printed.splitlines() if line.startswith("agnews")]) == 6
    )  # three arms, a saving, two measures


def kept(strategy: str, features: str, seed: int, accuracy: list[float]) -> dict[str, Any]:
    return record("agnews", strategy, features, seed, [6, 12, 18, 30, 42], accuracy)


CURVES = [
    kept("auto", "extras", 0, [0.9, 1.0, 1.0, 1.0]),
    kept("auto", "extras", 1, [0.8, 1.0, 1.0, 1.0]),
    kept("random", "extras", 0, [0.5, 0.7, 0.9, 1.0, 1.0]),
    kept("random", "extras", 1, [0.5, 0.7, 0.7, 1.0, 1.0]),
    kept("random", "raw", 0, [0.1, 0.2, 0.3, 0.4, 0.5]),
    kept("random", "raw", 1, [0.1, 0.2, 0.3, 0.4, 0.5]),
]


@pytest.mark.usefixtures("folder")
def test_the_report_is_that_of_the_curves() -> None:
    auto, same, raw = summary(CURVES)
    assert (auto["strategy"], auto["seeds"], auto["bought"]) == ("auto", 2, 30)
    assert auto["labels_95"] == pytest.approx((9.0 + 10.5) / 2)
    assert auto["labels_95_range"] == [9.0, 10.5]
    assert auto["labels_95_mean_curve"] == 10.0
    assert auto["mean_accuracy"] == pytest.approx((2.9 + 2.8) / 6)
    assert auto["standard_error"] == pytest.approx(0.1 / 3 / 2)
    assert auto["rank_ms"] == 250.0
    assert same["labels_95"] == pytest.approx((24.0 + 28.0) / 2)
    assert raw["labels_95"] is None
    assert raw["labels_95_range"] == [None, None]


@pytest.mark.usefixtures("folder")
def test_a_student_counts_at_the_steps_where_one_was_trained() -> None:
    [run] = [kept("auto", "extras", 0, [0.5, 0.7, 0.9])]
    run |= {"student": "auto", "run": run["run"] | {"student_accuracy": [0.4, None, 0.8]}}
    [row] = summary([run])
    assert (row["who"], row["bought"]) == ("student", 18)
    assert row["mean_accuracy"] == pytest.approx(0.6)
    assert row["labels_95"] is None


@pytest.mark.usefixtures("folder")
def test_three_savings_are_told_apart() -> None:
    [row] = savings(CURVES)
    assert row["selection_95"] == pytest.approx(1 - 10 / 27)
    assert row["total_95"] == pytest.approx(1 - 10 / 42)
    assert row["semi_supervision_95"] == pytest.approx(1 - 27 / 42)
    assert row["bound_95"] == ["random/raw"]
    assert row["better_random"] == "extras"
    assert row["gain"] == pytest.approx((0.8 + 0.9) / 6)
    # Two paired differences, a standard error of 1/60, and Student's t with one degree of freedom.
    assert row["half_width"] == pytest.approx(12.7062 / 60, rel=1e-4)
    assert row["lowest_step"] == pytest.approx(0.2)


@pytest.mark.usefixtures("folder")
def test_gains_are_paired_by_seed() -> None:
    late = [kept("auto", "extras", seed, [value, value, value]) for seed, value in ((1, 0.9), (2, 1.0))]
    other = [kept("random", "raw", seed, [value, value, value]) for seed, value in ((0, 0.0), (1, 0.8))]
    assert paired_gain(late, other) == (pytest.approx(0.1), None)
    assert median([None, 1.0, 2.0]) == 2.0


def test_an_imbalanced_pool_falls_off_to_a_twentieth() -> None:
    y = np.arange(2_000) % 5
    assert sorted(np.bincount(y[imbalanced(y, 20.0)]).tolist()) == [20, 42, 89, 189, 400]


def test_variants_change_what_they_say_and_nothing_else(folder: Path) -> None:
    plain = label_set("agnews", "plain", folder / "features")
    half = label_set("agnews", "half-classes", folder / "features")
    assert (len(set(half.pool.labels)), len(half.pool), len(half.test)) == (2, 160, 40)
    assert len(half.encoded[0]) == 160
    assert set(half.test.labels) == set(half.pool.labels)
    thin = label_set("agnews", "imbalance20", folder / "features")
    assert sorted(thin.pool.labels.count(str(c)) for c in range(3)) == [4, 18, 80]
    assert thin.test.labels == plain.test.labels
    turned = label_set("agnews", "rotated", folder / "features")
    assert not np.allclose(turned.encoded[0], plain.encoded[0], atol=0.5)
    lengths = np.linalg.norm(plain.encoded[0], axis=1)
    np.testing.assert_allclose(np.linalg.norm(turned.encoded[0], axis=1), lengths, rtol=1e-5)
    np.testing.assert_allclose(
        turned.encoded[1] @ turned.encoded[0].T, plain.encoded[1] @ plain.encoded[0].T, atol=1e-3
    )
    assert [label_set("agnews", v, folder / "features").noise for v in ("plain", "noise10")] == [0.0, 0.1]


@pytest.mark.parametrize("name", GRIDS)
def test_each_constant_is_there_and_its_value_is_put_back(name: str) -> None:
    grid = GRIDS[name]
    before = grid.default
    assert before in grid.values
    other = next(value for value in grid.values if value != before)
    with overridden(name, other):
        assert grid.default == other
    assert grid.default == before
