"""What every strategy refuses, and how it says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sampler.errors import InvalidInput, MissingInput
from sampler.strategies import get_strategy
from tests.sampler.conformance.registered import NEED_PROBABILITIES, every_door, every_strategy
from tests.sampler.conftest import ContextMaker


@every_door
@pytest.mark.parametrize(
    ("value", "why"), [(np.nan, "row 40 holds NaN"), (np.inf, "row 40 holds NaN or inf"), (-0.2, "row 40 holds a neg")]
)
def test_probabilities_that_are_none(make_context: ContextMaker, name: str, value: float, why: str) -> None:
    probabilities = np.full((108, 3), 1 / 3)
    probabilities[40, 1] = value
    with pytest.raises(InvalidInput, match=f"^probabilities: {why}"):
        get_strategy(name).rank(make_context(probabilities=probabilities), 10)


@every_door
def test_probabilities_that_are_negative_but_add_up(make_context: ContextMaker, name: str) -> None:
    probabilities = np.full((108, 3), 1 / 3)
    probabilities[40] = [1.5, -0.5, 0.0]
    with pytest.raises(InvalidInput, match=r"^probabilities: row 40 holds a negative value"):
        get_strategy(name).rank(make_context(probabilities=probabilities), 10)


@every_door
def test_probabilities_that_do_not_add_up(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"adds up to 1\.5, not 1; normalise it"):
        get_strategy(name).rank(make_context(probabilities=np.full((108, 3), 0.5)), 10)


@every_strategy
@pytest.mark.parametrize("broken", ["every candidate", "a labelled row"])
def test_features_that_are_nan_are_refused_by_name_or_never_looked_at(
    make_context: ContextMaker, name: str, broken: str
) -> None:
    clean = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    features = clean.copy()
    features[slice(12, None) if broken == "every candidate" else slice(3, 4), 2] = np.nan
    probabilities = make_context(features=clean).probabilities
    context = make_context(features=features, probabilities=probabilities)
    try:
        ranking = get_strategy(name).rank(context, 10)
    except InvalidInput as problem:
        assert problem.name == "features"  # noqa: PT017  # either is right: the ranking is looked at below
        assert "holds NaN or infinity" in problem.reason  # noqa: PT017
    else:
        expected = get_strategy(name).rank(make_context(features=clean, probabilities=probabilities), 10)
        np.testing.assert_array_equal(ranking.rows, expected.rows)


@pytest.mark.parametrize("name", NEED_PROBABILITIES)
def test_what_ranks_by_probability_says_so_when_there_is_none(make_context: ContextMaker, name: str) -> None:
    with pytest.raises(MissingInput, match=rf"'{name}' needs probabilities"):
        get_strategy(name).rank(make_context(probabilities=None), 10)


@every_door
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"candidates": np.array([5, 5]), "probabilities": None}, "candidates"),
        ({"candidates": np.array([500]), "probabilities": None}, "candidates"),
        ({"pending": np.array([-1])}, "pending"),
        ({"pending": np.array([0.5])}, "pending"),
        ({"y": np.zeros(3, np.int64)}, "y"),
        ({"y": np.full(12, 9)}, "y"),
        ({"y": np.full(12, -1)}, "y"),
        ({"probabilities": np.full((7, 3), 1 / 3)}, "probabilities"),
        ({"committee": np.full((5, 7, 3), 1 / 3)}, "committee"),
        ({"committee": np.full((5, 108, 3), np.nan)}, "committee"),
        ({"committee": np.full((5, 108, 3), 0.5)}, "committee"),
    ],
)
def test_arrays_that_do_not_go_together(
    make_context: ContextMaker, name: str, changes: dict[str, np.ndarray | None], field: str
) -> None:
    context = make_context(**changes)
    if context.probabilities is None and "probabilities" in get_strategy(name).needs:
        context = replace(context, probabilities=np.full((len(context.candidates), 3), 1 / 3))
    with pytest.raises(InvalidInput, match=f"^{field}:"):
        get_strategy(name).rank(context, 10)
