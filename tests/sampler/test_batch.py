"""Top k, and ties that hang on the seed and the row alone."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.batch import best_first, blocks, tie_keys
from sampler.errors import InvalidInput


def test_the_best_come_first_and_all_come_where_there_are_few() -> None:
    scores, rows = np.array([0.1, 0.9, 0.5]), np.array([4, 5, 6])
    assert best_first(scores, rows, 2, seed=0).tolist() == [1, 2]
    assert best_first(scores, rows, 9, seed=0).tolist() == [1, 2, 0]
    assert best_first(scores, rows, 0, seed=0).tolist() == []


def test_ties_fall_evenly_over_the_array() -> None:
    scores, rows = np.ones(1000), np.arange(1000)
    chosen = np.concatenate([best_first(scores, rows, 10, seed) for seed in range(200)])
    assert abs(float(chosen.mean()) - 499.5) < 30
    assert len(np.unique(chosen)) > 700


def test_a_tie_at_the_edge_is_decided_by_the_keys_as_well() -> None:
    scores = np.r_[np.full(3, 2.0), np.ones(500)]
    picked = {int(best_first(scores, np.arange(503), 4, seed)[3]) for seed in range(30)}
    assert len(picked) > 20


def test_a_tie_is_decided_alike_wherever_the_row_stands() -> None:
    rows = np.arange(50)
    turned = rows[::-1]
    first = rows[best_first(np.ones(50), rows, 8, seed=4)]
    second = turned[best_first(np.ones(50), turned, 8, seed=4)]
    np.testing.assert_array_equal(first, second)


def test_keys_of_different_seeds_have_nothing_in_common() -> None:
    a, b = tie_keys(np.arange(4000), 1), tie_keys(np.arange(4000), 2)
    assert len(np.unique(a)) == 4000
    assert abs(np.corrcoef(a.astype(float), b.astype(float))[0, 1]) < 0.06


@pytest.mark.parametrize("bad", [np.array([0.1, np.nan]), np.array([0.1, np.inf]), np.array([0.1])])
def test_scores_that_cannot_be_ranked_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="scores"):
        best_first(bad, np.arange(2), 1, seed=0)


@pytest.mark.parametrize("size", [1, 10, 11, 40, 41, 2000])
def test_stretches_reach_the_size(size: int) -> None:
    widths = [width for width, _ in blocks(size, 10)]
    assert sum(widths[:-1]) < size <= sum(widths)


@pytest.mark.parametrize("kind", ["all different", "many alike", "ascending"])
@pytest.mark.parametrize("k", [1, 100, 60_000])
def test_the_best_of_a_large_pool_are_those_of_a_full_sort(kind: str, k: int) -> None:
    scores = np.random.default_rng(0).random(200_000)
    scores = {"all different": scores, "many alike": np.round(scores, 2), "ascending": np.sort(scores)}[kind]
    rows = np.arange(200_000) * 3
    full = np.lexsort((tie_keys(rows, 5), -scores))
    np.testing.assert_array_equal(best_first(scores, rows, k, 5), full[:k])
    np.testing.assert_array_equal(
        best_first(scores.astype(np.float32), rows, k, 5),
        np.lexsort((tie_keys(rows, 5), -scores.astype(np.float32)))[:k],
    )
