"""Probabilities of draws: by hand, in long pools, and against how often things are drawn."""

from __future__ import annotations

import doctest
import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chisquare

import sampler.draws
import sampler.power
from sampler.draws import LEAST_WEIGHT, WeightSum, draw_probabilities, uniform_probabilities
from sampler.errors import InvalidInput
from sampler.power import FLOOR
from sampler.query import QueryContext
from sampler.scores import margin_scores
from sampler.strategies import get_strategy
from tests.sampler.conftest import ContextMaker

DRAWN = ("random", "power_margin")
# Margins 1, 0.8, 0.5, 0.25 and (sure) 0, which counts as the floor.
BINARY = np.array([[0.5, 0.5], [0.6, 0.4], [0.75, 0.25], [0.875, 0.125], [1.0, 0.0]])


@pytest.mark.parametrize("module", [sampler.draws, sampler.power])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_each_pick_weighs_its_share_of_what_was_left() -> None:
    total = WeightSum.of(np.array([1.0, 2.0, 3.0, 4.0]))
    found = draw_probabilities(np.array([3.0, 1.0, 4.0, 2.0]), total)
    assert found.tolist() == [3 / 10, 1 / 7, 4 / 6, 1.0]
    assert draw_probabilities(np.array([3.0, 1.0]), total).tolist() == [3 / 10, 1 / 7]
    assert draw_probabilities(np.empty(0), WeightSum()).tolist() == []
    assert uniform_probabilities(3, 3).tolist() == [1 / 3, 1 / 2, 1.0]


def test_a_million_weights_far_apart_lose_nothing() -> None:
    rng = np.random.default_rng(0)
    weights = np.maximum(rng.random(1_000_000) ** 8, FLOOR)
    order = np.argsort(-weights)  # the heavy ones go first, so that what is left is a small part of the sum
    found = draw_probabilities(weights[order], WeightSum.of(weights))
    for place in (0, 1, 1_000, 500_000, 900_000, 999_998):
        left = math.fsum(weights[order[place:]].tolist())
        assert found[place] == pytest.approx(weights[order[place]] / left, rel=1e-10)
    assert found[-1] == 1.0


def test_a_sum_is_the_same_in_any_order_and_in_any_parts() -> None:
    weights = np.random.default_rng(1).random(100_000) + 1e-6
    total = WeightSum.of(weights)
    assert WeightSum.of(weights[::-1]) == total
    assert sum((WeightSum.of(part) for part in np.array_split(weights, 7)), WeightSum()) == total
    assert total.high / 2**31 + total.low / 2**62 == pytest.approx(math.fsum(weights.tolist()), rel=1e-15)


@pytest.mark.parametrize("weights", [[0.0], [-1.0], [np.nan], [np.inf], [LEAST_WEIGHT / 2], [2.0**31], [2.0**30] * 3])
def test_what_is_no_weight_is_refused(weights: list[float]) -> None:
    with pytest.raises(InvalidInput, match="weights"):
        WeightSum.of(np.array(weights))


def test_picks_that_weigh_more_than_everything_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more than all"):
        draw_probabilities(np.array([1.0, 1.0]), WeightSum.of(np.ones(1)))


def small_pool(make_context: ContextMaker) -> QueryContext:
    return make_context(n=8, n_labeled=0, n_classes=2, candidates=np.array([0, 2, 3, 5, 7]), probabilities=BINARY)


def odds(name: str) -> dict[int, float]:
    weights = np.ones(5) if name == "random" else np.maximum(margin_scores(BINARY), 1e-6)
    return dict(zip([0, 2, 3, 5, 7], weights.tolist(), strict=True))


@pytest.mark.parametrize("name", DRAWN)
def test_every_pick_of_a_small_pool_carries_its_odds_among_what_is_left(make_context: ContextMaker, name: str) -> None:
    weights = odds(name)
    for seed in range(20):
        ranking = get_strategy(name).rank(replace(small_pool(make_context), rng=np.random.default_rng(seed)), 5)
        assert ranking.probabilities is not None
        left = dict(weights)
        for row, drawn in zip(ranking.rows.tolist(), ranking.probabilities.tolist(), strict=True):
            assert drawn == pytest.approx(left[row] / sum(left.values()), rel=1e-9)
            del left[row]


@pytest.mark.parametrize("name", DRAWN)
def test_draws_come_as_often_as_their_probabilities_say(make_context: ContextMaker, name: str) -> None:
    """Chi-square over the ordered first three of five, 20,000 seeds; and the sure item, by its floor, as it may."""
    context, n = small_pool(make_context), 20_000
    found: Counter[tuple[int, ...]] = Counter()
    said: dict[tuple[int, ...], float] = {}
    for seed in range(n):
        ranking = get_strategy(name).rank(replace(context, rng=np.random.default_rng(seed)), 3)
        assert ranking.probabilities is not None
        rows = tuple(ranking.rows.tolist())
        found[rows] += 1
        said[rows] = float(np.prod(ranking.probabilities))
    weights = odds(name)
    expected: dict[tuple[int, ...], float] = {}
    for rows in itertools.permutations(weights, 3):
        chance, left = 1.0, dict(weights)
        for row in rows:
            chance *= left[row] / sum(left.values())
            del left[row]
        expected[rows] = chance
        if rows in said:
            assert said[rows] == pytest.approx(chance, rel=1e-9)
    likely = [rows for rows in expected if n * expected[rows] >= 5]
    observed = np.array([found[rows] for rows in likely])
    assert n - observed.sum() <= 8, "the sure item is drawn about once in half a million"
    wanted = np.array([expected[rows] for rows in likely])
    assert chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 0.001


@pytest.mark.parametrize("name", DRAWN)
def test_weighted_by_their_probabilities_the_picks_stand_for_the_pool(make_context: ContextMaker, name: str) -> None:
    """Farquhar et al. 2021, R_LURE: the mean over many draws is the pool's mean, which the plain mean is not."""
    rng = np.random.default_rng(3)
    n, k, draws = 40, 10, 4_000
    p = np.column_stack([a := rng.uniform(0.5, 0.98, n), 1.0 - a])
    value = margin_scores(p) + 0.1 * rng.normal(size=n)  # what is doubtful is large
    context = make_context(n=n, n_labeled=0, n_classes=2, probabilities=p)
    place = np.arange(1, k + 1)
    estimates, plain = np.empty(draws), np.empty(draws)
    for seed in range(draws):
        ranking = get_strategy(name).rank(replace(context, rng=np.random.default_rng(seed)), k)
        assert ranking.probabilities is not None
        v = 1.0 + (n - k) / (n - place) * (1.0 / ((n - place + 1) * ranking.probabilities) - 1.0)
        estimates[seed] = (v * value[ranking.rows]).mean()
        plain[seed] = value[ranking.rows].mean()
    error = 4.0 * estimates.std() / math.sqrt(draws)
    assert estimates.mean() == pytest.approx(value.mean(), abs=error)
    if name == "power_margin":
        assert abs(plain.mean() - value.mean()) > 4.0 * error


@pytest.mark.parametrize("name", DRAWN)
def test_what_is_labelled_or_pending_is_not_part_of_what_was_left(make_context: ContextMaker, name: str) -> None:
    rows, p = np.array([0, 2, 3, 5, 7]), BINARY
    busy = make_context(
        n=8, n_classes=2, candidates=rows, probabilities=p, labeled=np.array([2]), y=np.array([0]),
        pending=np.array([7]),
    )  # fmt: skip
    free = make_context(
        n=8, n_classes=2, candidates=rows[[0, 2, 3]], probabilities=p[[0, 2, 3]], labeled=np.array([2]), y=np.array([0])
    )
    first, second = (get_strategy(name).rank(context, 3) for context in (busy, free))
    np.testing.assert_array_equal(first.rows, second.rows)
    assert first.probabilities is not None
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert first.probabilities[-1] == 1.0
