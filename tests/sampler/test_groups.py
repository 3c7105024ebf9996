"""Near-duplicates: who stands for a group, what weighs, and that nothing is lost."""

from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np
import pytest

import sampler.groups
from sampler.density import density_scores
from sampler.errors import InvalidInput
from sampler.groups import EACH_ITEM, rank_groups, representatives
from sampler.query import QueryContext
from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conftest import ContextMaker

GROUPED = tuple(name for name in strategy_names() if name not in EACH_ITEM)
WEIGHING = (
    "power_margin", "density", "density_uncertainty", "typiclust", "herding", "uncertainty_herding", "probcover",
    "kmeans", "clustered_margin", "committee", "dropquery", "badge", "i_optimal",
)  # fmt: skip


def half_alike(make_context: ContextMaker) -> tuple[QueryContext, np.ndarray]:
    """120 rows, 12 labelled; of the other 108 the second half repeat 18 of the first half three times each."""
    groups = np.arange(120)
    groups[66:] = 12 + np.arange(54) % 18
    features = np.random.default_rng(3).normal(size=(120, 6)).astype(np.float32)
    return make_context(features=features[groups]), groups


def test_the_example_in_the_docstring_holds() -> None:
    result = doctest.testmod(sampler.groups)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("name", GROUPED)
def test_no_group_comes_twice_before_all_have_come_and_nothing_is_lost(make_context: ContextMaker, name: str) -> None:
    context, groups = half_alike(make_context)
    ranking = rank_groups(get_strategy(name), context, 500, groups)
    assert sorted(ranking.rows.tolist()) == context.candidates.tolist()
    assert sorted(groups[ranking.rows[:54]].tolist()) == list(range(12, 66))
    assert sorted(ranking.rows[:54].tolist()) == list(range(12, 66)), "the lowest row stands for its group"
    assert len(ranking.scores) == len(ranking.reasons) == 108
    for size in (1, 20, 54, 60):
        context, _ = half_alike(make_context)
        np.testing.assert_array_equal(rank_groups(get_strategy(name), context, size, groups).rows, ranking.rows[:size])


@pytest.mark.parametrize("name", strategy_names())
def test_without_near_duplicates_it_is_the_plain_ranking(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    plain = strategy.rank(make_context(), 40)
    for groups in (None, np.arange(120)[::-1].copy()):
        found = rank_groups(strategy, make_context(), 40, groups)
        np.testing.assert_array_equal(found.rows, plain.rows)
        np.testing.assert_array_equal(found.scores, plain.scores)


def test_a_random_draw_takes_each_item_alike(make_context: ContextMaker) -> None:
    context, groups = half_alike(make_context)
    ranking = rank_groups(get_strategy("random"), context, 108, groups)
    np.testing.assert_array_equal(ranking.rows, get_strategy("random").rank(make_context(), 108).rows)


def test_a_group_with_a_labelled_or_pending_row_is_asked_last(make_context: ContextMaker) -> None:
    groups = np.arange(120)
    groups[[20, 21]] = 5  # like a labelled row
    groups[[30, 31]] = 40  # like a pending row
    context = make_context(pending=np.array([40]))
    ranking = rank_groups(get_strategy("margin"), context, 200, groups)
    assert len(ranking) == 107
    assert set(ranking.rows[-4:].tolist()) == {20, 21, 30, 31}


def test_a_group_weighs_as_much_as_it_has_candidates() -> None:
    groups = np.array([0, 0, 0, 3, 4, 4])
    sizes, first = representatives(np.array([1, 2, 3, 4, 5]), np.array([0]), groups)
    assert sizes.tolist() == [2.0, 2.0, 1.0, 2.0, 2.0]
    assert first.tolist() == [False, False, True, True, False]


def test_draws_are_of_groups_by_their_weight_and_then_of_what_is_left(make_context: ContextMaker) -> None:
    p = np.array([[0.5, 0.5], [0.75, 0.25], [0.5, 0.5], [0.5, 0.5]])
    context = make_context(n=4, n_labeled=0, n_classes=2, probabilities=p)
    ranking = rank_groups(get_strategy("power_margin"), context, 4, np.array([0, 1, 0, 0]))
    weights = {0: 3.0, 1: 0.5}
    first, second = ranking.rows[:2].tolist()
    assert ranking.probabilities is not None
    np.testing.assert_allclose(ranking.probabilities, [weights[first] / 3.5, 1.0, 0.5, 1.0])
    assert {first, second} == {0, 1}


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_count_where_the_pool_is_covered_and_ones_change_nothing(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    plain = strategy.rank(make_context(n=300, n_labeled=30), 40)
    ones = strategy.rank(make_context(n=300, n_labeled=30, weights=np.ones(270)), 40)
    weights = np.where(np.arange(270) % 9 == 0, 50.0, 1.0)
    weighted = strategy.rank(make_context(n=300, n_labeled=30, weights=weights), 40)
    if name not in ("typiclust", "density", "density_uncertainty"):  # whose sums may round otherwise
        np.testing.assert_array_equal(ones.rows, plain.rows)
    assert weighted.rows.tolist() != plain.rows.tolist()


@pytest.mark.parametrize("name", sorted(set(GROUPED) - set(WEIGHING) - {"auto"}))
def test_a_score_of_one_item_does_not_weigh(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    plain = strategy.rank(make_context(n=300, n_labeled=30), 40)
    weighted = strategy.rank(make_context(n=300, n_labeled=30, weights=np.arange(1.0, 271.0)), 40)
    np.testing.assert_array_equal(weighted.rows, plain.rows)


def test_heavier_rows_go_first_where_the_pool_is_covered(make_context: ContextMaker) -> None:
    features = np.eye(6, dtype=np.float32)[np.arange(6)] * 5.0
    context = make_context(features=features, n_labeled=0, probabilities=None, weights=np.array([1.0, 2, 9, 3, 4, 5]))
    assert get_strategy("herding").rank(context, 6).rows.tolist() == [2, 5, 4, 3, 1, 0]


def test_density_with_weights_is_that_of_rows_that_are_repeated() -> None:
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    times = np.arange(30) % 3 + 1
    repeated = density_scores(np.repeat(x, times, axis=0), np.arange(times.sum()))
    found = density_scores(x, np.arange(30), None, times.astype(float))
    np.testing.assert_allclose(found, repeated[np.cumsum(times) - times], atol=1e-5)


@pytest.mark.parametrize("weights", [np.ones(5), np.zeros(108), np.full(108, np.nan), np.full(108, np.inf)])
def test_weights_that_are_none_are_refused(make_context: ContextMaker, weights: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"^weights"):
        get_strategy("margin").rank(make_context(weights=weights), 5)


@pytest.mark.parametrize("groups", [np.zeros(5, np.int64), np.full(120, 120), np.full(120, -1)])
def test_groups_that_are_none_are_refused(make_context: ContextMaker, groups: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=r"^groups"):
        rank_groups(get_strategy("margin"), make_context(), 5, groups)


@pytest.mark.parametrize("name", WEIGHING)
def test_weights_follow_their_candidates(make_context: ContextMaker, name: str) -> None:
    context = make_context(weights=np.arange(1.0, 109.0))
    order = np.random.default_rng(1).permutation(108)
    assert context.probabilities is not None
    assert context.weights is not None
    moved = replace(
        context, candidates=context.candidates[order], probabilities=context.probabilities[order],
        weights=context.weights[order], rng=np.random.default_rng(0),
    )  # fmt: skip
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(moved, 50).rows, strategy.rank(context, 50).rows)
