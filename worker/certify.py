"""How sure a student must be for its labels to be accepted: a threshold whose error is certified on held-out labels.

**The claim.** Of the items that it accepts, at most a share α is wrong, with the stated confidence.

**The test** (angelopoulos2021). The thresholds to try are fixed before any held-out label is looked at: those that
accept given shares of what is left, in steps of 2.5 points, from a starting share on. (Not of the whole pool: a student
is surer of what it was trained on.) They are tested in that order, each by the exact test of Clopper and Pearson
(clopper1934) on the held-out items above it, until one fails; the last that held is taken. As the order is fixed and
nothing is tested after a failure, all tests together err with the probability of one.

**The start** is the share at which about half of the held-out labels are expected to lie above the threshold, at least
as many as certify anything without a single error and a margin for chance, at most as many as would bear three errors:
from fewer labels on a single unlucky one ends the row, more would pass over thresholds that could hold.

**The rest is not the pool.** The held-out items are a random part of the pool as it came; what is left to accept is the
pool without what people labelled, which was chosen. If all errors of the pool above a threshold were in what is left,
their share there would be larger by the ratio of the two numbers of items; that is the bound that is compared with α.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta

IntArray = NDArray[np.int64]

BINS = 10_000
STEP = 0.025
"""Between two shares that are tried."""
_SHARES = tuple(round(STEP * step, 3) for step in range(1, round(1 / STEP) + 1))
_ERRORS_BORNE = 3


@dataclass(frozen=True)
class Certificate:
    """What was found. Where nothing can be certified, ``threshold`` is None and ``reason`` says why.

    Attributes:
        threshold: Predictions with at least this confidence are accepted.
        bound: Upper bound of the share of errors among what is accepted, at the stated confidence; at most α.
        coverage: The share of what is left of the pool that is accepted; accepted: so many items.
        labels: Held-out labels above the threshold; errors: how many of them the student gets wrong.
        tried: How many thresholds were tested.
        needed: About how many held-out labels it would take to certify anything; 0 where there are enough.
        reason: In words.
    """

    threshold: float | None
    bound: float | None
    coverage: float
    accepted: int
    labels: int
    errors: int
    tried: int
    needed: int
    reason: str


def upper_bound(errors: int, n: int, confidence: float = 0.95) -> float:
    """The upper Clopper–Pearson bound of an error rate: 1 where nothing was seen.

    >>> round(upper_bound(0, 59), 4), round(upper_bound(1, 59), 4)
    (0.0495, 0.0779)
    """
    if not 0 <= errors <= n:
        raise ValueError(f"{errors} errors of {n} cannot be")
    return 1.0 if errors == n else float(beta.ppf(confidence, errors + 1, n - errors))


@lru_cache(1024)
def least_labels(alpha: float, confidence: float = 0.95, errors: int = 0) -> int:
    """The fewest labels that certify ``alpha`` with ``errors`` errors among them.

    >>> least_labels(0.05), least_labels(0.05, errors=3), least_labels(0.01)
    (59, 153, 299)
    """
    low, high = errors + 1, errors + 2
    while upper_bound(errors, high, confidence) > alpha:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if upper_bound(errors, middle, confidence) <= alpha else (middle + 1, high)
    return low


def starting_share(
    n: int, pool: IntArray, left: IntArray, alpha: float = 0.05, confidence: float = 0.95
) -> float | None:
    """The share of what is left to begin with, given ``n`` held-out labels; None where they cannot certify anything.

    ``pool`` and ``left`` are the items with each confidence or a higher one, ``(BINS + 1,)``: no held-out label is
    looked at.
    """
    for share in _SHARES:
        asked = _asked(alpha, pool, left, _place(left, share))
        least = least_labels(asked, confidence)
        enough = least if share == 1.0 else least + 2 * math.sqrt(least)
        if n * share >= max(enough, min(n / 2, least_labels(asked, confidence, _ERRORS_BORNE))):
            return share
    return None


def _asked(alpha: float, pool: IntArray, left: IntArray, place: int) -> float:
    """What the share of errors above a threshold has to be under, for that in what is left to be under ``alpha``."""
    return float(max(1e-4, round(alpha * int(left[place]) / int(pool[place]), 4)))


def _place(at_least: IntArray, share: float) -> int:
    """The highest binned confidence that so large a share of the items has, or a higher one."""
    wanted = max(1, round(share * int(at_least[0])))
    return BINS - int(np.searchsorted(at_least[::-1], wanted))


def binned(confidences: ArrayLike) -> IntArray:
    """Confidences in ten-thousandths, rounded down: what they are counted and compared by. Shape ``(n,)``, int64."""
    return np.floor(np.asarray(confidences, np.float64) * BINS + 1e-9).astype(np.int64)


def certify(
    pool: ArrayLike,
    left: ArrayLike,
    confidences: ArrayLike,
    right: ArrayLike,
    *,
    alpha: float = 0.05,
    confidence: float = 0.95,
) -> Certificate:
    """The lowest threshold that holds.

    Args:
        pool: How many items of the pool have each confidence of `binned`: ``(BINS + 1,)``; neither the held-out
            ones nor those that came with a label.
        left: How many of those are left to be accepted, ``(BINS + 1,)``.
        confidences: The student's confidences on the held-out items that people labelled, ``(m,)``.
        right: bool, ``(m,)``: where the student's class is the people's.
        alpha: The largest share of errors, in (0, 1).
        confidence: How sure one wants to be of it, in (0, 1).

    Raises:
        ValueError: Shapes that do not fit, or numbers outside their range.
    """
    pool_of, left_of = np.asarray(pool, np.int64), np.asarray(left, np.int64)
    held, good = binned(confidences), np.asarray(right, bool)
    if pool_of.shape != (BINS + 1,) or left_of.shape != pool_of.shape or held.shape != good.shape:
        raise ValueError(f"counts of {BINS + 1} confidences each, and one answer for each confidence, are needed")
    if not (0 < alpha < 1 and 0 < confidence < 1):
        raise ValueError("alpha and confidence lie between 0 and 1")
    if not left_of.any():
        return _nothing(len(held), "Nothing is left: each item of the pool has a label, or was skipped or flagged.")
    pool_of, left_of = _at_least(pool_of), _at_least(left_of)
    start = starting_share(len(held), pool_of, left_of, alpha, confidence)
    if start is None:
        least = least_labels(_asked(alpha, pool_of, left_of, _place(left_of, 1.0)), confidence)
        needed = math.ceil(least + 2 * math.sqrt(least))
        few = f"{len(held)} held-out labels are too few to certify at most {_percent(alpha)} errors"
        return _nothing(len(held), f"Cannot certify: {few}; about {needed} are needed.", needed=needed)
    best: Certificate | None = None
    places = thresholds_of(left_of, start)
    for tried, place in enumerate(places, 1):
        found = _tested(place, tried, pool_of, left_of, held, good, alpha, confidence)
        if found is None:
            break
        best = found
    return best or _not_even(places[0], held, good, alpha)


def thresholds_of(at_least: IntArray, start: float) -> list[int]:
    """The binned confidences above which the shares ``start``, ``start`` + 0.025, … 1 of what is left lie, falling.

    ``at_least`` are the items with each confidence or a higher one, ``(BINS + 1,)``.
    """
    return list(dict.fromkeys(_place(at_least, share) for share in _SHARES if share >= start))


def _at_least(counts: IntArray) -> IntArray:
    """How many have each confidence or a higher one, ``(BINS + 1,)``."""
    return np.cumsum(counts[::-1])[::-1]


def _tested(
    place: int,
    tried: int,
    pool: IntArray,
    left: IntArray,
    held: IntArray,
    good: NDArray[np.bool_],
    alpha: float,
    confidence: float,
) -> Certificate | None:
    above, accepted = int(pool[place]), int(left[place])
    inside = held >= place
    labels, errors = int(inside.sum()), int((inside & ~good).sum())
    bound = upper_bound(errors, labels, confidence) * above / accepted if accepted else 1.0
    if bound > alpha:
        return None
    reason = (
        f"At most {_percent(bound)} of what is accepted is wrong, with {_percent(confidence)} confidence: of {labels} "
        f"held-out labels above the threshold, the student gets {errors} wrong."
    )
    return Certificate(place / BINS, bound, accepted / int(left[0]), accepted, labels, errors, tried, 0, reason)


def _nothing(labels: int, reason: str, *, needed: int = 0, errors: int = 0, tried: int = 0) -> Certificate:
    return Certificate(None, None, 0.0, 0, labels, errors, tried, needed, reason)


def _not_even(place: int, held: IntArray, good: NDArray[np.bool_], alpha: float) -> Certificate:
    inside = held >= place
    labels, errors = int(inside.sum()), int((inside & ~good).sum())
    reason = (
        f"Cannot certify at most {_percent(alpha)} errors: of {labels} held-out labels on what the student is surest "
        f"of, it gets {errors} wrong. Label more, so that it gets better and there is more to measure on, or allow "
        "more errors."
    )
    return _nothing(labels, reason, errors=errors, tried=1)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
