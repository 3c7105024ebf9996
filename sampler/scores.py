"""Pure acquisition scores. Higher means: label sooner. Shape ``(n_items,)``, float64, finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.errors import InvalidInput

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

_SUM_TOLERANCE = 5e-3  # float16 probabilities of a hundred classes add up to within this
_CHUNK_ROWS = 65_536  # a chunk of a hundred classes stays within the cache of a small machine


def check_probabilities(probabilities: ArrayLike) -> FloatArray:
    """Return ``probabilities`` as an array, or say why its rows are no distributions.

    Args:
        probabilities: Shape ``(n_items, n_classes)``; each row adds up to one.

    Raises:
        InvalidInput: Wrong shape, NaN, infinite, negative, or rows that do not add up to one.
    """
    array = np.asarray(probabilities)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidInput("probabilities", f"shape {array.shape} is not (n_items, n_classes)")
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    if array.size == 0:
        return array
    sums = array.sum(axis=1, dtype=np.float64)
    bad = ~(np.abs(sums - 1.0) <= _SUM_TOLERANCE)  # negated, so that NaN is bad too
    if bad.any():
        row = int(np.argmax(bad))
        if not np.isfinite(array[row]).all():
            raise InvalidInput("probabilities", f"row {row} holds NaN or infinity; the model that made it has diverged")
        raise InvalidInput("probabilities", f"row {row} adds up to {sums[row]:.4g}, not 1; normalise it (softmax)")
    if float(array.min()) < 0.0:
        row = int(np.argmax((array < 0).any(axis=1)))
        raise InvalidInput("probabilities", f"row {row} holds a negative value; hand in probabilities, not scores")
    return array


def least_confidence_scores(probabilities: ArrayLike) -> FloatArray:
    """One minus the probability of the likeliest class (Lewis & Gale 1994).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: The rows are no distributions.

    >>> least_confidence_scores([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]).tolist()
    [0.5, 0.0]
    """
    p = check_probabilities(probabilities)
    return _in_unit_interval(1.0 - p.max(axis=1).astype(np.float64))


def top_two(probabilities: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The largest and the second largest value of each row; the second is 0 where there is one class.

    Args:
        probabilities: Shape ``(n_items, n_classes)``.

    Returns:
        Two arrays of shape ``(n_items,)``, float64.
    """
    n, n_classes = probabilities.shape
    if n_classes == 1:
        return probabilities[:, 0].astype(np.float64), np.zeros(n)
    first, second = np.empty(n), np.empty(n)
    for start in range(0, n, _CHUNK_ROWS):
        part = np.partition(probabilities[start : start + _CHUNK_ROWS], (n_classes - 2, n_classes - 1), axis=1)
        first[start : start + _CHUNK_ROWS] = part[:, -1]
        second[start : start + _CHUNK_ROWS] = part[:, -2]
    return first, second


def margin_scores(probabilities: ArrayLike) -> FloatArray:
    """One minus the gap between the two likeliest classes (Scheffer et al. 2001).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 for every item where there is only one class.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> margin_scores([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]).tolist()
    [1.0, 0.5]
    """
    first, second = top_two(check_probabilities(probabilities))
    return _in_unit_interval(1.0 - (first - second))


def entropy_scores(probabilities: ArrayLike) -> FloatArray:
    """Shannon entropy of each row as a share of the largest possible (Settles & Craven 2008).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 for every item where there is only one class.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> entropy_scores([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]]).tolist()
    [1.0, 0.5]
    """
    p = check_probabilities(probabilities)
    n, n_classes = p.shape
    if n_classes == 1:
        return np.zeros(n)
    scores = np.empty(n)
    for start in range(0, n, _CHUNK_ROWS):
        chunk = p[start : start + _CHUNK_ROWS].astype(np.float64)
        # log of 1 where p is 0: the product is then 0, its limit
        scores[start : start + _CHUNK_ROWS] = -(chunk * np.log(np.where(chunk > 0, chunk, 1.0))).sum(axis=1)
    return _in_unit_interval(scores / np.log(n_classes))


def vote_entropy_scores(votes: ArrayLike, n_classes: int) -> FloatArray:
    """Entropy of the classes that a committee voted for, as a share of the largest possible (Dagan & Engelson 1995).

    Args:
        votes: Shape ``(n_items, n_members)``: the class index that each member votes for.
        n_classes: Number of classes.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 where all members agree.

    Raises:
        InvalidInput: Not two-dimensional, no member, or a vote outside ``0 … n_classes - 1``.

    >>> vote_entropy_scores([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]], n_classes=4).tolist()
    [0.0, 0.5, 1.0]
    """
    array = np.asarray(votes)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidInput("votes", f"shape {array.shape} is not (n_items, n_members) with at least one member")
    if not np.isfinite(np.asarray(array, dtype=np.float64)).all():
        raise InvalidInput("votes", "NaN or infinity is no class index")
    indices = array.astype(np.int64)
    n, n_members = indices.shape
    if n and (indices.min() < 0 or indices.max() >= n_classes):
        raise InvalidInput("votes", f"a vote lies outside 0 … {n_classes - 1}")
    largest = np.log(min(n_members, n_classes))
    if largest == 0.0:
        return np.zeros(n)
    # Sum over members of -log(share of those who vote the same) / members: no (n_items, n_classes) table is made.
    same = (indices[:, :, None] == indices[:, None, :]).sum(axis=2)
    scores = -np.log(same / n_members).sum(axis=1) / n_members
    return _in_unit_interval(scores / largest)


def _in_unit_interval(scores: FloatArray) -> FloatArray:
    """Rounding errors cut off, and -0.0 made 0.0."""
    clipped: FloatArray = np.clip(scores, 0.0, 1.0) + 0.0
    return clipped
