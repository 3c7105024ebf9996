"""Stopping criteria: by values that can be worked out by hand, and what is refused."""

from __future__ import annotations

import dataclasses
import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import cohen_kappa_score

import sampler.stopping
from sampler.errors import InvalidInput
from sampler.stopping import (
    cluster_coverage,
    expected_gain,
    kappa,
    minimum_expected_error,
    overall_uncertainty,
    stabilizing_predictions,
)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(sampler.stopping)
    assert result.attempted > 8
    assert result.failed == 0


@given(arrays(np.int64, (2, 30), elements=st.integers(0, 4)))
def test_kappa_is_scikit_learns(votes: np.ndarray) -> None:
    if len(np.unique(votes)) == 1:
        assert kappa(*votes) == 1.0
    else:
        assert kappa(*votes) == pytest.approx(cohen_kappa_score(*votes))


def test_predictions_have_settled_once_the_mean_of_the_window_is_high_enough() -> None:
    a = np.arange(200) % 4
    b = a.copy()
    b[:2] = (b[:2] + 1) % 4
    assert kappa(a, b) == pytest.approx((0.99 - 0.25) / 0.75, abs=1e-4)
    settled = stabilizing_predictions([b, a, a, a])
    assert settled.value == pytest.approx((2 + kappa(a, b)) / 3)
    assert settled.stop
    assert settled.sentence == "the model no longer changes its mind: κ 0.996 over the last 3 rounds, 0.99 is asked for"
    assert not stabilizing_predictions([b, a, b, a]).stop


def test_what_lies_before_the_window_is_forgotten() -> None:
    a = np.arange(40) % 4
    assert stabilizing_predictions([a[::-1], a, a, a, a]).value == 1.0


def test_too_few_models_to_compare_do_not_stop() -> None:
    a = np.arange(40) % 4
    verdict = stabilizing_predictions([a, a, a])
    assert (verdict.value, verdict.stop) == (None, False)
    assert verdict.sentence == "1 more rounds are needed to see it settle"


def test_uncertainty_and_expected_error_stop_at_their_thresholds() -> None:
    p = np.array([[0.9, 0.1], [0.94, 0.06]])
    assert minimum_expected_error(p).value == pytest.approx(0.08)
    assert not minimum_expected_error(p).stop
    assert minimum_expected_error(p, threshold=0.081).stop
    entropy = -(p * np.log2(p)).sum(axis=1).mean()
    assert overall_uncertainty(p).value == pytest.approx(entropy)
    assert overall_uncertainty(p, threshold=entropy + 1e-9).stop
    assert not overall_uncertainty(p, threshold=entropy - 1e-9).stop


@pytest.mark.parametrize("criterion", [overall_uncertainty, minimum_expected_error])
def test_an_empty_rest_stops_and_a_broken_one_is_refused(criterion) -> None:
    assert criterion(np.empty((0, 3))).stop
    assert criterion(np.empty((0, 3))).sentence == "nothing is left to label"
    with pytest.raises(InvalidInput, match="NaN"):
        criterion([[np.nan, 1.0]])


def test_the_gain_is_that_of_the_best_item_and_what_the_weights_leave_out_changes_nothing() -> None:
    now = np.array([[0.5, 0.5], [0.5, 0.5], [1.0, 0.0], [1.0, 0.0]])  # expected error 0.25
    sure = np.array([[1.0, 0.0]] * 4)  # 0
    worse = np.array([[0.5, 0.5]] * 4)  # 0.5
    verdict = expected_gain(now, [[0.6, 0.2], [0.5, 0.5]], [[sure, worse], [sure, worse]])
    # 0.6 · 0.25 − 0.2 · 0.25, and 0.5 · 0.25 − 0.5 · 0.25
    assert verdict.value == pytest.approx(0.1)
    assert verdict.threshold == 0.25
    assert verdict.stop
    assert not expected_gain(now, [[0.6, 0.2]], [[sure, worse]], threshold=0.09).stop


@pytest.mark.parametrize(
    ("weights", "refitted", "why"),
    [
        ([[0.5, 0.5]], np.full((1, 1, 2, 2), 0.5), "^refitted: shape"),
        ([[0.5, 0.5]], np.full((1, 2, 3, 2), 0.5), "^refitted: shape"),
        ([[0.9, 0.5]], np.full((1, 2, 2, 2), 0.5), "^weights:"),
        ([[-0.1, 0.5]], np.full((1, 2, 2, 2), 0.5), "^weights:"),
        ([[0.5, 0.5]], np.full((1, 2, 2, 2), 0.4), "^probabilities: row 0 adds up"),
    ],
)
def test_gains_that_do_not_go_together_are_refused(weights, refitted, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        expected_gain([[0.5, 0.5], [0.5, 0.5]], weights, refitted)


def test_coverage_counts_groups_and_not_labels() -> None:
    verdict = cluster_coverage(np.array([0, 0, 0, 1, 7]), np.array([0, 1, 2, 4]), threshold=0.6)
    assert verdict.value == pytest.approx(2 / 3)
    assert verdict.stop
    assert verdict.sentence == "2 of 3 groups of the pool hold a label, 60% is asked for"
    assert cluster_coverage([0, 1], np.empty(0, np.int64)).value == 0.0
    with pytest.raises(InvalidInput, match="labeled"):
        cluster_coverage([0, 1], [2])


def test_a_verdict_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        cluster_coverage([0, 1], [0]).stop = True  # type: ignore[misc]


@pytest.mark.parametrize(("a", "b"), [([0, 1], [0]), ([], []), ([0.5], [0.5]), ([[0]], [[0]])])
def test_predictions_that_cannot_be_compared_are_refused(a, b) -> None:
    with pytest.raises(InvalidInput, match="predictions"):
        kappa(np.array(a), np.array(b))
