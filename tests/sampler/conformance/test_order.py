"""What a ranking hangs on: the seed and the rows, never the order in which anything is handed in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sampler.strategies import get_strategy
from tests.sampler.conformance.registered import every_strategy
from tests.sampler.conftest import ContextMaker


@every_strategy
def test_the_same_seed_gives_the_same_ranking(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    first, second = strategy.rank(make_context(seed=3), 60), strategy.rank(make_context(seed=3), 60)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.scores, second.scores)
    assert first.reasons == second.reasons


@every_strategy
def test_numpys_global_state_decides_nothing_and_is_left_alone(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    np.random.seed(1)  # noqa: NPY002
    first = strategy.rank(make_context(), 30).rows
    np.random.seed(2)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    np.testing.assert_array_equal(strategy.rank(make_context(), 30).rows, first)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@every_strategy
def test_a_short_ranking_is_the_start_of_a_long_one(make_context: ContextMaker, name: str) -> None:
    strategy = get_strategy(name)
    long = strategy.rank(make_context(), 108)
    for size in (1, 3, 5, 8, 17, 33, 60):
        short = strategy.rank(make_context(), size)
        np.testing.assert_array_equal(short.rows, long.rows[:size])
        np.testing.assert_array_equal(short.scores, long.scores[:size])


@every_strategy
def test_the_order_in_which_candidates_come_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context()
    order = np.random.default_rng(1).permutation(len(context.candidates))
    assert context.probabilities is not None
    shuffled = make_context(candidates=context.candidates[order], probabilities=context.probabilities[order])
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(shuffled, 50).rows)


@every_strategy
def test_the_order_in_which_labels_and_pending_rows_come_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context(n_labeled=30, pending=np.array([40, 50, 60, 70]))
    order = np.random.default_rng(1).permutation(30)
    shuffled = replace(
        context,
        labeled=context.labeled[order],
        y=context.y[order],
        pending=context.pending[::-1],
        rng=np.random.default_rng(0),
    )
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(shuffled, 50).rows)


@every_strategy
def test_how_the_classes_are_numbered_does_not_matter(make_context: ContextMaker, name: str) -> None:
    context = make_context(n_labeled=30)
    order = np.array([2, 0, 1])
    assert context.probabilities is not None
    renamed = make_context(n_labeled=30, probabilities=context.probabilities[:, order], y=np.argsort(order)[context.y])
    strategy = get_strategy(name)
    np.testing.assert_array_equal(strategy.rank(context, 50).rows, strategy.rank(renamed, 50).rows)


@every_strategy
def test_ties_are_decided_by_the_seed_and_not_by_the_place_in_the_array(make_context: ContextMaker, name: str) -> None:
    same = make_context(features=np.ones((120, 6), np.float16))
    strategy = get_strategy(name)
    rankings = [strategy.rank(replace(same, rng=np.random.default_rng(seed)), 20).rows for seed in range(4)]
    assert all(len(set(rows.tolist())) == 20 for rows in rankings)
    assert len({tuple(rows.tolist()) for rows in rankings}) == 4
    assert all(np.diff(rows).min() < 0 for rows in rankings)
