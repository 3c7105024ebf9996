"""Certifying what a student may label by itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from worker.certify import BINS, binned, certify, least_labels, starting_share, thresholds_of, upper_bound


def counts(confidences: np.ndarray) -> np.ndarray:
    return np.bincount(binned(confidences), minlength=BINS + 1)


@pytest.mark.parametrize(("errors", "n"), [(0, 59), (1, 93), (3, 153), (7, 20)])
def test_the_bound_is_the_rate_at_which_so_few_errors_are_as_rare_as_allowed(errors: int, n: int) -> None:
    assert binom.cdf(errors, n, upper_bound(errors, n, 0.95)) == pytest.approx(0.05)


def test_the_edges_of_the_bound() -> None:
    assert upper_bound(0, 0) == 1.0
    assert upper_bound(5, 5) == 1.0
    with pytest.raises(ValueError, match="cannot be"):
        upper_bound(3, 2)


@pytest.mark.parametrize(("alpha", "errors"), [(0.05, 0), (0.05, 3), (0.01, 0), (0.2, 10)])
def test_the_fewest_labels_suffice_and_one_fewer_does_not(alpha: float, errors: int) -> None:
    n = least_labels(alpha, 0.95, errors)
    assert upper_bound(errors, n) <= alpha < upper_bound(errors, n - 1)


def test_too_few_labels_are_a_clear_answer_with_the_number_that_is_needed() -> None:
    pool = counts(np.linspace(0.5, 1, 1000))
    found = certify(pool, pool, np.full(30, 0.9), np.ones(30, bool))
    assert (found.threshold, found.accepted, found.needed) == (None, 0, 75)
    assert found.reason == (
        "Cannot certify: 30 held-out labels are too few to certify at most 5 % errors; about 75 are needed."
    )


def test_the_row_starts_where_labels_bear_a_few_errors_and_never_depends_on_them() -> None:
    left = counts(np.linspace(0.2, 0.9, 1000))[::-1].cumsum()[::-1]
    assert starting_share(58, left, left) is None
    assert [starting_share(n, left, left) for n in (59, 140, 300, 1000)] == [1.0, 0.55, 0.5, 0.175]
    sure_of_trained = left + 100  # a hundred more, which people labelled, at the top
    assert [starting_share(n, sure_of_trained, left) for n in (140, 300, 1000)] == [0.625, 0.5, 0.225]


def test_thresholds_accept_rising_shares_of_the_pool() -> None:
    pool = counts((np.arange(1000) + 0.5) / 1000)
    places = thresholds_of(pool[::-1].cumsum()[::-1], 0.9)
    assert [int(pool[place:].sum()) for place in places] == [900, 925, 950, 975, 1000]
    tied = np.zeros(BINS + 1, np.int64)
    tied[:9001] = 50
    assert thresholds_of(tied, 0.5) == [9000]


def test_the_last_threshold_before_the_first_failure_is_taken() -> None:
    pool = counts(np.linspace(0, 1, 2001))
    held = np.linspace(0, 1, 400)
    found = certify(pool, pool, held, held > 0.4)  # right above .4, wrong below
    assert found.threshold is not None
    assert found.bound is not None
    assert 0.36 < found.threshold <= 0.4
    assert found.bound <= 0.05
    assert found.coverage == pytest.approx(1 - found.threshold, abs=0.01)
    inside = binned(held) >= round(found.threshold * BINS)
    assert (found.labels, found.errors) == (inside.sum(), (inside & (held <= 0.4)).sum())
    better_below = held > 0.6  # what is right again further below is never looked at
    better_below[held < 0.3] = True
    assert (certify(pool, pool, held, better_below).threshold or 0) > 0.5


def test_a_student_that_is_wrong_where_it_is_surest_is_never_accepted() -> None:
    pool = counts(np.linspace(0.5, 1, 1000))
    held = np.linspace(0.5, 1, 300)
    found = certify(pool, pool, held, held < 0.9)
    assert found.threshold is None
    assert "the student is surest of, it gets 60 wrong" in found.reason


def test_what_people_chose_to_label_makes_the_bound_larger() -> None:
    pool = counts(np.linspace(0.5, 1, 1000))
    held, right = np.linspace(0.5, 1, 200), np.ones(200, bool)
    all_left, half_left = certify(pool, pool, held, right), certify(2 * pool, pool, held, right)
    assert all_left.bound == pytest.approx(upper_bound(0, 200))
    assert (half_left.bound or 0) >= 2 * (all_left.bound or 1)
    assert certify(pool, 0 * pool, held, right).reason.startswith("Nothing is left")


def test_inputs_that_do_not_fit_are_refused() -> None:
    pool = counts(np.ones(3))
    for broken in ((pool[:-1], pool, [0.9], [True]), (pool, pool, [0.9], [True, False])):
        with pytest.raises(ValueError, match="counts of"):
            certify(*broken)
    with pytest.raises(ValueError, match="between 0 and 1"):
        certify(pool, pool, [0.9], [True], alpha=0.0)


@pytest.mark.parametrize("error_at_top", [0.02, 0.05])
def test_the_certified_error_holds_at_least_so_often_as_was_said(error_at_top: float) -> None:
    """Four hundred projects each; the true error above a threshold is known. Three standard errors are allowed."""
    rng = np.random.default_rng(7)
    pool = counts(rng.random(4000))
    broken = 0
    for _ in range(400):
        held = rng.random(200)
        rate = error_at_top + 0.3 * (1 - held)  # more errors the less sure
        found = certify(pool, pool, held, rng.random(200) >= rate)
        if found.threshold is not None:
            broken += error_at_top + 0.3 * (1 - found.threshold) / 2 > 0.05
    assert broken / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
