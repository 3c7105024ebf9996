"""Priority sampling: unbiased totals, and a draw that hangs on rows and seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.errors import InvalidInput
from sampler.subsample import priority_sample

SCORES = np.r_[np.full(40, 0.001), np.full(40, 0.1), np.full(20, 0.9)]
ROWS = np.arange(100)


def test_totals_over_the_sample_estimate_those_over_the_pool() -> None:
    values = SCORES * np.random.default_rng(0).random(100)
    estimates = []
    for seed in range(600):
        positions, weights = priority_sample(SCORES, ROWS, 15, seed)
        estimates.append(float((weights * values[positions]).sum()))
    assert abs(np.mean(estimates) - values.sum()) < 4 * np.std(estimates) / np.sqrt(600)


def test_what_scores_high_is_drawn_more_often_and_what_scores_low_now_and_then() -> None:
    drawn = np.zeros(100)
    for seed in range(600):
        drawn[priority_sample(SCORES, ROWS, 15, seed)[0]] += 1
    low, middle, high = drawn[:40].mean(), drawn[40:80].mean(), drawn[80:].mean()
    assert high > 5 * middle > 25 * low > 0.0


def test_all_of_a_small_pool_is_taken_with_weight_one_in_a_seeded_order() -> None:
    orders = [priority_sample(SCORES, ROWS, 100, seed)[0].tolist() for seed in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert priority_sample(SCORES, ROWS, 500, 0)[1].tolist() == [1.0] * 100


def test_the_draw_is_bound_to_the_rows_and_not_to_their_places() -> None:
    first = ROWS[priority_sample(SCORES, ROWS, 15, 4)[0]]
    turned = ROWS[::-1]
    second = turned[priority_sample(SCORES[::-1], turned, 15, 4)[0]]
    np.testing.assert_array_equal(first, second)


def test_scores_of_zero_are_alike() -> None:
    positions, weights = priority_sample(np.zeros(100), ROWS, 10, 0)
    assert len(set(positions.tolist())) == 10
    assert len(set(weights.tolist())) == 1
    assert priority_sample(np.zeros(100), ROWS, 0, 0)[0].shape == (0,)


@pytest.mark.parametrize("bad", [np.array([0.1, np.nan]), np.array([0.1, -1.0]), np.array([0.1])])
def test_scores_that_cannot_be_sampled_by_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="scores"):
        priority_sample(bad, np.arange(2), 1, 0)
