"""Evidence: it covers whenever one looks, seldom holds a harmless student, and catches a harmful one."""

from __future__ import annotations

import doctest
import functools

import numpy as np
import pytest

import worker.curves
import worker.evidence
import worker.measure
import worker.settling
from worker.evidence import Comparison, confidence_sequence, decide_promotion, harm


@pytest.mark.parametrize("module", [worker.evidence, worker.curves, worker.measure, worker.settling])
def test_the_examples_in_the_docstrings_hold(module) -> None:
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("rate", [0.3, 0.6, 0.8, 0.9, 0.97])
def test_the_interval_holds_the_truth_at_every_look_in_19_runs_of_20(rate: float) -> None:
    looks = np.unique(np.geomspace(1, 1_000, 60).astype(int))
    rng = np.random.default_rng(7)
    runs, missed = 500, 0
    interval = functools.cache(confidence_sequence)  # runs meet again and again at the same counts
    for _ in range(runs):
        right = np.cumsum(rng.random(1_000) < rate)
        for n in looks:
            low, high = interval(int(right[n - 1]), int(n))
            if not low <= rate <= high:
                missed += 1
                break
    assert missed / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)  # two standard errors of the simulation


def test_an_ordinary_interval_looked_at_as_often_does_not_hold_it() -> None:
    """The control: the same looks at the usual interval miss far more often than one run in twenty."""
    looks = np.unique(np.geomspace(50, 1_000, 40).astype(int))
    rng = np.random.default_rng(7)
    missed = 0
    for _ in range(250):
        shares = (np.cumsum(rng.random(1_000) < 0.8) / np.arange(1, 1_001))[looks - 1]
        missed += bool((np.abs(shares - 0.8) > 1.96 * np.sqrt(shares * (1 - shares) / looks)).any())
    assert missed > 0.12 * 250


@pytest.mark.parametrize(("n", "half_width"), [(50, 0.17), (140, 0.11), (300, 0.075), (500, 0.06)])
def test_the_interval_at_four_in_five_is_as_narrow_as_stated(n: int, half_width: float) -> None:
    low, high = confidence_sequence(round(0.8 * n), n)
    assert (high - low) / 2 < half_width


def test_the_interval_narrows_with_labels_and_widens_with_certainty() -> None:
    widths = [np.diff(confidence_sequence(int(0.9 * n), n))[0] for n in (50, 100, 200, 400, 2_000)]
    assert (np.diff(widths) < 0).all()
    assert np.diff(confidence_sequence(90, 100, alpha=0.01))[0] > np.diff(confidence_sequence(90, 100, alpha=0.1))[0]


@pytest.mark.parametrize("n", [1, 10, 2_000])
def test_the_interval_of_all_or_nothing_reaches_the_edge(n: int) -> None:
    assert confidence_sequence(0, n)[0] == 0.0
    assert confidence_sequence(n, n)[1] == 1.0
    assert 0.0 < confidence_sequence(n, n)[0] < 1.0


def test_nothing_seen_says_nothing() -> None:
    assert confidence_sequence(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "n", "alpha"), [(5, 4, 0.05), (-1, 4, 0.05), (1, 4, 0.0), (1, 4, 1.0)])
def test_counts_that_cannot_be_are_refused(successes: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        confidence_sequence(successes, n, alpha)


def test_the_bet_seldom_pays_where_there_is_no_harm_whenever_one_looks() -> None:
    rng = np.random.default_rng(3)
    cashed = 0
    for _ in range(400):
        differences = rng.choice([-1.0, 0.0, 1.0], size=400, p=[0.1, 0.8, 0.1])
        best = max(harm(differences[:n]) for n in range(20, 401, 20))
        cashed += best >= np.log(20)
    assert cashed <= 0.05 * 400


def test_a_difference_that_is_no_difference_is_refused() -> None:
    for bad in ([2.0], [np.nan]):
        with pytest.raises(ValueError, match="lie in"):
            harm(bad)


def test_the_first_student_is_always_promoted() -> None:
    decision = decide_promotion(None)
    assert (decision.promoted, decision.reason) == (True, "the first student")


def test_a_student_of_which_nothing_is_known_is_promoted() -> None:
    empty = np.empty(0, bool)
    decision = decide_promotion(Comparison(empty, empty, empty, empty, np.empty(0), np.empty(0)))
    assert decision.promoted
    assert decision.evidence == {}


def pair(rng: np.random.Generator, n: int, old: float, loss: float, churn: float) -> tuple[np.ndarray, np.ndarray]:
    """Right or wrong on n rows for the new and the old student: the new one is worse by ``loss``."""
    kind = rng.choice(4, size=n, p=[old - loss - churn, loss + churn, churn, 1 - old - churn])
    return np.isin(kind, [0, 2]), np.isin(kind, [0, 1])


def decisions(loss: float, runs: int = 200) -> float:
    """How often a student that is worse by ``loss`` everywhere is held: 140 measured labels, 1,000 random rows."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(runs):
        new_right, old_right = pair(rng, 140, 0.85, loss, 0.04)
        new_agrees, old_agrees = pair(rng, 1_000, 0.90, loss, 0.03)
        old_losses = rng.exponential(0.5, 60)
        new_losses = old_losses + rng.normal(loss, 0.2, 60)
        held += not decide_promotion(
            Comparison(new_right, old_right, new_agrees, old_agrees, new_losses, old_losses)
        ).promoted
    return held / runs


def test_a_harmless_student_is_held_less_than_once_in_twenty() -> None:
    assert decisions(loss=0.0) <= 0.05


def test_a_loss_of_five_points_is_caught_in_seven_rounds_of_ten_and_one_of_seven_nearly_always() -> None:
    assert decisions(loss=0.05) >= 0.7
    assert decisions(loss=0.07) >= 0.95


def test_a_better_student_is_promoted() -> None:
    assert decisions(loss=-0.02) == 0.0


def test_a_loss_on_measured_labels_alone_holds_and_is_named() -> None:
    right = np.ones(60, bool)
    decision = decide_promotion(Comparison(new_right=np.arange(60) >= 15, old_right=right))
    assert not decision.promoted
    assert decision.reason == (
        "held: on 60 measured labels it is wrong on 15 that the current student gets right, and right on only 0 that "
        "it gets wrong"
    )
    assert decision.evidence["measured"] > np.log(60)


def test_half_a_point_less_agreement_is_nobodys_harm() -> None:
    n = 20_000
    new, old = np.arange(n) % 1000 >= 105, np.arange(n) % 1000 >= 100
    assert decide_promotion(Comparison(new_agrees=new, old_agrees=old)).promoted
    worse = np.arange(n) % 1000 >= 130
    assert "agrees with the teacher on 87.0%" in decide_promotion(Comparison(new_agrees=worse, old_agrees=old)).reason


def test_one_confident_mistake_on_exploration_labels_decides_nothing() -> None:
    losses = np.full(40, 0.2)
    mistaken = losses.copy()
    mistaken[7] = 27.0
    assert decide_promotion(Comparison(new_losses=mistaken, old_losses=losses)).promoted
    assert not decide_promotion(Comparison(new_losses=losses + 1.0, old_losses=losses)).promoted
