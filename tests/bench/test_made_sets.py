"""Sets that need no download: what they are, what they stress, and that the loop takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.label_cells import Cell, plan_budget, run_cells
from bench.label_sets import GROUPS, PLANS, has_variant, label_set, named_sets
from bench.made_sets import MADE, STRESSES, made_set
from bench.never_below import comparisons, table
from tests.bench.records import record


@pytest.mark.parametrize("name", MADE)
def test_a_seed_gives_the_same_set_and_another_draw_another(name: str) -> None:
    one, same, other = made_set(name), made_set(name), made_set(name, 1)
    np.testing.assert_array_equal(one.X, same.X)
    np.testing.assert_array_equal(one.y, same.y)
    assert one.X.dtype == np.float32
    assert np.isfinite(one.X).all()
    assert len(one.X) == len(one.y) >= PLANS[name].span
    assert len(one.test_features) == len(one.test_y)
    assert set(one.test_y.tolist()) <= set(one.y.tolist())
    assert one.X.shape != other.X.shape or not np.array_equal(one.X, other.X)


def test_sets_stress_what_they_say() -> None:
    assert set(STRESSES) == set(MADE)
    tail = np.bincount(made_set("long_tail").y)
    assert len(tail) == 30
    assert tail.max() > 30 * tail.min()
    assert np.bincount(made_set("many_classes").y).max() < 20
    assert 0.005 < made_set("rare").y.mean() < 0.015
    assert made_set("wide").X.shape == (300, 1_024)
    assert len(made_set("large").y) == 30_000
    twins = made_set("duplicates").X
    assert len(np.unique(twins, axis=0)) <= 500 < len(twins)
    spread = made_set("units").X.std(axis=0)
    assert spread.max() > 1e4 * spread.min()


def test_one_name_stands_for_many_and_the_default_is_as_small_as_it_was() -> None:
    assert GROUPS["real"] == ("agnews", "banking77", "mnist10k")
    assert set(GROUPS["unlike"]) == set(MADE)
    assert named_sets(["iris", "unlike"]) == ["iris", *(name for name in MADE if name != "iris")]
    assert [name for name in PLANS if has_variant(name, "hashed")] == ["agnews", "banking77"]
    assert [name for name in PLANS if has_variant(name, "redrawn")] == list(MADE)


def test_a_made_set_runs_like_a_real_one(tmp_path: Path) -> None:
    cell = Cell("iris", "redrawn", "auto", "extras", 0)
    [kept] = run_cells([cell], tmp_path, {cell: 10})
    assert kept["run"]["labels"] == [5, 10]
    assert (kept["n_pool"], kept["n_test"], kept["n_classes"]) == (100, 50, 3)
    assert plan_budget(cell, short=False) == PLANS["iris"].span
    assert label_set("iris", "plain", tmp_path).pool.labels != label_set("iris", "redrawn", tmp_path).pool.labels


def kept(strategy: str, features: str, seed: int, accuracy: float) -> dict[str, object]:
    made = record("iris", strategy, features, seed, [5], [accuracy])
    return {**made, "run": {**made["run"], "macro_f1": [accuracy / 2]}}


def test_what_is_below_random_by_more_than_its_interval_is_named() -> None:
    means = {("auto", "extras"): 0.8, ("random", "extras"): 0.7, ("random", "raw"): 0.9}
    luck = (0.0, 0.01, 0.03)
    records = [kept(*arm, seed, value + luck[seed]) for arm, value in means.items() for seed in range(3)]
    accuracy, f1 = comparisons(records)
    assert (accuracy["set"], accuracy["measure"], f1["measure"]) == ("iris", "accuracy", "macro_f1")
    assert accuracy["random_raw"] == pytest.approx(0.9 + 0.04 / 3)
    assert accuracy["over_random"] == pytest.approx(0.1)
    assert accuracy["over_raw_half"] == pytest.approx(0.0, abs=1e-9)
    assert accuracy["below"] == ["over_raw", "views"]
    assert f1["views"] == pytest.approx(-0.1)
    header, [line] = table([accuracy, f1])
    assert len(header) == len(line)
    assert line[0] == "iris"
    assert line[5:7] == ["**-0.1000 ± 0.0000, below**", "**-0.2000 ± 0.0000, below**"]
    assert comparisons(records[:-3]) == []  # an arm is missing
