"""Scores: higher means sooner, by hand-checked values, and refusals."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import sampler.batch
import sampler.coldstart
import sampler.coverage
import sampler.design
import sampler.diversity
import sampler.gradients
import sampler.reasons
import sampler.scores
import sampler.strategies.i_optimal
import sampler.subsample
from sampler.errors import InvalidInput
from sampler.modal import load_modal
from sampler.scores import (
    check_probabilities,
    entropy_scores,
    least_confidence_scores,
    margin_scores,
    vote_entropy_scores,
)

BY_PROBABILITY = (least_confidence_scores, margin_scores, entropy_scores)


@pytest.mark.parametrize(
    "module",
    [
        sampler.scores,
        sampler.batch,
        sampler.diversity,
        sampler.coldstart,
        sampler.reasons,
        sampler.coverage,
        sampler.design,
        sampler.gradients,
        sampler.subsample,
        sampler.strategies.i_optimal,
    ],
)
def test_the_examples_in_the_docstrings_hold(module) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("score", BY_PROBABILITY)
@given(weights=arrays(np.float64, (7, 4), elements=st.floats(0.0, 1.0)))
def test_scores_are_finite_and_in_the_unit_interval(score, weights: np.ndarray) -> None:
    weights[:, 0] += 1e-3
    values = score(weights / weights.sum(axis=1, keepdims=True))
    assert values.shape == (7,)
    assert values.dtype == np.float64
    assert ((values >= 0.0) & (values <= 1.0)).all()


@pytest.mark.parametrize("score", BY_PROBABILITY)
def test_evenly_shared_probability_scores_above_certainty(score) -> None:
    even, sure = score([[0.25] * 4, [1.0, 0.0, 0.0, 0.0]])
    assert even > sure == 0.0


@pytest.mark.parametrize("score", BY_PROBABILITY)
def test_one_class_leaves_nothing_to_ask(score) -> None:
    assert score([[1.0], [1.0]]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("score", BY_PROBABILITY)
def test_no_items_have_no_scores(score) -> None:
    assert score(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize("score", BY_PROBABILITY)
def test_half_precision_probabilities_are_taken(score) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(77), 200)
    np.testing.assert_allclose(score(p.astype(np.float16)), score(p), atol=2e-3)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 40, 41, 120])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_few_and_many_classes_score_as_a_sort_of_each_row_does(n_classes: int, dtype: type) -> None:
    p = np.random.default_rng(0).dirichlet(np.full(n_classes, 0.4), 9_000).astype(dtype)
    p[17], p[18] = 1.0 / n_classes, np.eye(n_classes)[1]
    exact = p.astype(np.float64)
    ranked = np.sort(exact, axis=1)
    entropies = -(exact * np.log(np.where(exact > 0, exact, 1.0))).sum(axis=1) / np.log(n_classes)
    np.testing.assert_allclose(margin_scores(p), 1.0 - ranked[:, -1] + ranked[:, -2], atol=1e-7)
    np.testing.assert_allclose(least_confidence_scores(p), 1.0 - ranked[:, -1], atol=1e-7)
    np.testing.assert_allclose(entropy_scores(p), np.clip(entropies, 0.0, 1.0), atol=2e-6)


def test_modal_gives_the_same_values() -> None:
    load_modal()
    from modAL.uncertainty import _proba_entropy, _proba_margin, _proba_uncertainty

    p = np.random.default_rng(0).dirichlet(np.ones(7), 500)
    np.testing.assert_allclose(least_confidence_scores(p), _proba_uncertainty(p), atol=1e-12)
    np.testing.assert_allclose(1.0 - margin_scores(p), _proba_margin(p), atol=1e-12)
    np.testing.assert_allclose(entropy_scores(p) * np.log(7), _proba_entropy(p), atol=1e-12)


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ([[0.5, np.nan]], "NaN"),
        ([[0.5, np.inf]], "infinity"),
        ([[0.5, 0.2]], r"adds up to 0\.7"),
        ([[1.5, -0.5]], "negative"),
        ([0.5, 0.5], "shape"),
        (np.empty((3, 0)), "shape"),
    ],
)
def test_what_is_no_distribution_is_refused_with_the_reason(bad, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        check_probabilities(bad)


@pytest.mark.parametrize("row", [3, 70_000])
def test_the_row_at_fault_is_named(row: int) -> None:
    p = np.full((90_000, 2), 0.5, np.float32)
    p[row] = [0.9, 0.9]
    with pytest.raises(InvalidInput, match=f"row {row} adds up to 1.8"):
        check_probabilities(p)


def test_a_committee_split_in_two_scores_half_of_one_split_in_four() -> None:
    assert vote_entropy_scores([[0, 0, 1, 1], [0, 1, 2, 3], [2, 2, 2, 2]], 4).tolist() == [0.5, 1.0, 0.0]


def test_vote_entropy_is_that_of_the_shares() -> None:
    shares = np.array([3 / 5, 1 / 5, 1 / 5])
    expected = -(shares * np.log(shares)).sum() / np.log(5)
    assert vote_entropy_scores([[7, 7, 7, 2, 9]], 10)[0] == pytest.approx(expected)


@pytest.mark.parametrize("votes", [[[0, 3]], [[-1, 0]], [0, 1], np.empty((2, 0)), [[0.0, np.nan]]])
def test_votes_that_name_no_class_are_refused(votes) -> None:
    with pytest.raises(InvalidInput, match="votes"):
        vote_entropy_scores(votes, 3)
