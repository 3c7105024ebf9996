"""Pure acquisition scores. Higher means: label sooner. Shape ``(n_items,)``, float64, finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.errors import InvalidInput

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]

_SUM_TOLERANCE = 5e-3  # float16 probabilities of a hundred classes add up to within this
_CHUNK_VALUES = 131_072  # half a megabyte of float32: a chunk and its copy stay within the cache of one core
_FEW_CLASSES = 40  # up to here, comparing whole columns beats looking for the two largest of each row


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
    for start, chunk in _chunks(array):
        # A sum of products is several times faster than summing along short rows; NaN and infinity show in it.
        sums = chunk @ np.ones(array.shape[1], chunk.dtype)
        if not (np.abs(sums - 1.0).max() <= _SUM_TOLERANCE and chunk.min() >= 0.0):  # negated, so that NaN is bad too
            _refuse(array[start : start + len(chunk)], start)
    return array


def _refuse(rows: FloatArray, start: int) -> None:
    """Say what is wrong with the first bad one of these rows."""
    with np.errstate(invalid="ignore", over="ignore"):
        sums = rows.sum(axis=1, dtype=np.float64)
        bad = ~((np.abs(sums - 1.0) <= _SUM_TOLERANCE) & (rows >= 0.0).all(axis=1))
    if not bad.any():
        return  # at the very edge of the tolerance, where two ways of summing differ
    at = int(np.argmax(bad))
    row = start + at
    if not np.isfinite(rows[at]).all():
        raise InvalidInput("probabilities", f"row {row} holds NaN or infinity; the model that made it has diverged")
    if (rows[at] < 0.0).any():
        raise InvalidInput("probabilities", f"row {row} holds a negative value; hand in probabilities, not scores")
    raise InvalidInput("probabilities", f"row {row} adds up to {sums[at]:.4g}, not 1; normalise it (softmax)")


def _chunks(array: FloatArray) -> Iterator[tuple[int, FloatArray]]:
    """Stretches of rows that fit the cache, with the row that each starts at; float16 comes as float32."""
    step = max(256, _CHUNK_VALUES // array.shape[1])
    dtype = np.promote_types(array.dtype, np.float32)
    for start in range(0, len(array), step):
        yield start, array[start : start + step].astype(dtype, copy=False)


def least_confidence_scores(probabilities: ArrayLike, *, check: bool = True) -> FloatArray:
    """One minus the probability of the likeliest class (Lewis & Gale 1994).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        check: False for rows that were looked at before, as a strategy's are.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: The rows are no distributions.

    >>> least_confidence_scores([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]).tolist()
    [0.5, 0.0]
    """
    p = check_probabilities(probabilities) if check else np.asarray(probabilities)
    largest = np.empty(len(p))
    for start, chunk in _chunks(p):
        few = p.shape[1] <= _FEW_CLASSES
        largest[start : start + len(chunk)] = np.ascontiguousarray(chunk.T).max(axis=0) if few else chunk.max(axis=1)
    return _in_unit_interval(np.subtract(1.0, largest, out=largest))


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
    for start, chunk in _chunks(probabilities):
        stretch = slice(start, start + len(chunk))
        first[stretch], second[stretch] = _two_largest(chunk)
    return first, second


def _two_largest(chunk: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The largest and the second largest of each row, of two columns or more."""
    if chunk.shape[1] > _FEW_CLASSES:
        rows, rest = np.arange(len(chunk)), chunk.copy()
        best = rest.argmax(axis=1)
        largest = rest[rows, best]
        rest[rows, best] = -np.inf
        return largest, rest.max(axis=1)
    columns = np.ascontiguousarray(chunk.T)
    first, second = np.maximum(columns[0], columns[1]), np.minimum(columns[0], columns[1])
    beaten = np.empty_like(first)
    for column in columns[2:]:
        np.minimum(first, column, out=beaten)
        np.maximum(second, beaten, out=second)
        np.maximum(first, column, out=first)
    return first, second


def margin_scores(probabilities: ArrayLike, *, check: bool = True) -> FloatArray:
    """One minus the gap between the two likeliest classes (Scheffer et al. 2001).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        check: False for rows that were looked at before, as a strategy's are.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 for every item where there is only one class.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> margin_scores([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]).tolist()
    [1.0, 0.5]
    """
    p = check_probabilities(probabilities) if check else np.asarray(probabilities)
    scores = np.zeros(len(p))
    if p.shape[1] > 1:
        for start, chunk in _chunks(p):
            gap = np.subtract(*_two_largest(chunk), out=scores[start : start + len(chunk)])
            np.subtract(1.0, gap, out=gap)
    return _in_unit_interval(scores)


def entropy_scores(probabilities: ArrayLike, *, check: bool = True) -> FloatArray:
    """Shannon entropy of each row as a share of the largest possible (Settles & Craven 2008).

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        check: False for rows that were looked at before, as a strategy's are.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 for every item where there is only one class.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> entropy_scores([[0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0.0, 0.0]]).tolist()
    [1.0, 0.5]
    """
    p = check_probabilities(probabilities) if check else np.asarray(probabilities)
    n, n_classes = p.shape
    if n_classes == 1:
        return np.zeros(n)
    scores = np.empty(n)
    for start, chunk in _chunks(p):
        # The logarithm of something tiny where p is 0: the product is then 0, its limit.
        logs = np.log(np.maximum(chunk, np.finfo(chunk.dtype).tiny))
        scores[start : start + len(chunk)] = -np.einsum("ij,ij->i", chunk, logs)
    scores /= np.log(n_classes)
    return _in_unit_interval(scores)


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
    indices = array
    if not np.issubdtype(array.dtype, np.integer):
        if not np.isfinite(np.asarray(array, dtype=np.float64)).all():
            raise InvalidInput("votes", "NaN or infinity is no class index")
        indices = array.astype(np.int64)
    n, n_members = indices.shape
    if n and (indices.min() < 0 or indices.max() >= n_classes):
        raise InvalidInput("votes", f"a vote lies outside 0 … {n_classes - 1}")
    largest = np.log(min(n_members, n_classes))
    if largest == 0.0:
        return np.zeros(n)
    scores = vote_entropies(np.ascontiguousarray(indices.T))
    scores /= largest
    return _in_unit_interval(scores)


def vote_entropies(votes: NDArray[np.integer[Any]]) -> FloatArray:
    """Entropy in nats of votes that are known to be good: shape ``(n_members, n_items)`` in, ``(n_items,)`` out."""
    n_members, n = votes.shape
    # The sum over members of -log(share of those who vote the same) / members: no table of classes is made.
    same = np.zeros((n_members, n), dtype=np.min_scalar_type(n_members))  # how many others vote as each does
    for member in range(n_members):
        for other in range(member):
            equal = (votes[member] == votes[other]).view(np.uint8)
            same[member] += equal
            same[other] += equal
    doubts = -np.log(np.arange(1, n_members + 1) / n_members) / n_members
    entropies = np.zeros(n)
    for others in same:
        entropies += doubts[others]
    return entropies


def _in_unit_interval(scores: FloatArray) -> FloatArray:
    """Rounding errors cut off and -0.0 made 0.0, in place: a new array of a million takes longer than the clipping."""
    np.clip(scores, 0.0, 1.0, out=scores)
    scores += 0.0
    return scores
