"""Which rankings are draws, and what their probabilities are like."""

from __future__ import annotations

import numpy as np

from sampler.strategies import get_strategy, strategy_names
from tests.sampler.conformance.registered import every_strategy
from tests.sampler.conftest import ContextMaker

DRAWN = {"random", "power_margin"}


@every_strategy
def test_probabilities_are_positive_at_most_one_and_those_of_the_longer_ranking(
    make_context: ContextMaker, name: str
) -> None:
    strategy = get_strategy(name)
    long = strategy.rank(make_context(), 108).probabilities
    if name in strategy_names():
        assert (long is not None) == (name in DRAWN)
    for size in (1, 7, 33, 108):
        drawn = strategy.rank(make_context(), size).probabilities
        if long is None:
            assert drawn is None
            continue
        assert drawn is not None
        assert (drawn.shape, drawn.dtype) == ((size,), np.float64)
        assert ((drawn > 0.0) & (drawn <= 1.0)).all()
        np.testing.assert_array_equal(drawn, long[:size])
    if long is not None:
        assert long[-1] == 1.0, "the last one that is left is drawn for certain"


@every_strategy
def test_the_only_candidate_is_drawn_for_certain(make_context: ContextMaker, name: str) -> None:
    context = make_context(candidates=np.array([77]), probabilities=np.array([[0.2, 0.3, 0.5]]))
    drawn = get_strategy(name).rank(context, 3).probabilities
    assert drawn is None or drawn.tolist() == [1.0]


@every_strategy
def test_without_labels_what_is_drawn_at_random_is_drawn_evenly(make_context: ContextMaker, name: str) -> None:
    ranking = get_strategy(name).rank(make_context(n_labeled=0), 120)
    if ranking.probabilities is not None and name != "power_margin":
        np.testing.assert_array_equal(ranking.probabilities, 1.0 / np.arange(120, 0, -1))
