"""Which items the names of classes point at, and whether they say anything: where to look for classes not seen yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.auto_constants import NAME_NEAR, NAME_NEIGHBOURS, NAME_TEMPERATURE
from sampler.diversity import Points, gather
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

_CHUNK_ROWS = 8_192
_MEAN_ROWS = 10_000
_NEAR_ROWS, _NEAR_REFERENCES = 500, 5_000


@dataclass(frozen=True)
class ClassNames:
    """Names of classes that an encoder has placed among the items.

    Items and names are compared by their cosine, each centred by its own mean: names lie apart from all sentences.

    Attributes:
        features: Shape ``(n, d)``: all rows as the encoder gave them, possibly memory-mapped.
        vectors: Shape ``(n_classes, d)``: the names by the same encoder; zeros or NaN for one that it cannot read.
        center: Shape ``(d,)``: the mean of the features.

    Raises:
        InvalidInput: Shapes that do not go together.
    """

    features: NDArray[np.floating[Any]]
    vectors: NDArray[np.floating[Any]]
    center: NDArray[np.floating[Any]]

    def __post_init__(self) -> None:
        d = self.features.shape[1]
        if self.vectors.ndim != 2 or self.vectors.shape[1] != d or self.center.shape != (d,):
            shapes = f"{self.vectors.shape} and {self.center.shape}"
            raise InvalidInput("names", f"shapes {shapes} do not go with features of {d} columns")

    @property
    def readable(self) -> NDArray[np.bool_]:
        """Which names the encoder could read: shape ``(n_classes,)``."""
        vectors = np.asarray(self.vectors, dtype=np.float32)
        readable: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & (vectors != 0.0).any(axis=1)
        return readable

    def shares(self, rows: IntArray) -> NDArray[np.float32]:
        """How the names share each row: a softmax of the cosines, shape ``(len(rows), n_classes)``.

        Rows sum to 1, but for rounding; a name that cannot be read gets 0.
        """
        shares = np.zeros((len(rows), len(self.vectors)), dtype=np.float32)
        readable = np.flatnonzero(self.readable)
        if not len(readable):
            return shares
        directions = self._directions(readable)
        for start in range(0, len(rows), _CHUNK_ROWS):
            cosines = self._items(rows[start : start + _CHUNK_ROWS]) @ directions.T
            cosines -= cosines.max(axis=1, keepdims=True)
            weights = np.exp(cosines / np.float32(NAME_TEMPERATURE))
            shares[start : start + len(weights), readable] = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def near(self, rows: IntArray) -> NDArray[np.bool_]:
        """Which names lie among these rows almost as the rows lie among themselves: shape ``(n_classes,)``.

        A name does whose cosine to its tenth nearest row is at least 0.8 of that which half of the rows have to their
        tenth nearest other; and none does where most names do not. That asks for no label. Numbers and letters are
        nowhere near it.

        Args:
            rows: Shape ``(n,)``; of more than 5,000 so many, evenly spaced: pools often come sorted by class.
        """
        near = np.zeros(len(self.vectors), dtype=bool)
        readable, items = np.flatnonzero(self.readable), self._items(_spaced(rows, _NEAR_REFERENCES))
        k = min(NAME_NEIGHBOURS, len(items) - 1)
        if k < 1 or not len(readable):
            return near
        asked = _spaced(np.arange(len(items)), _NEAR_ROWS)
        among = items[asked] @ items.T
        among[np.arange(len(asked)), asked] = -np.inf  # nobody is a neighbour of their own
        usual = float(np.median(_kth_largest(among, k)))
        near[readable] = _kth_largest(self._directions(readable) @ items.T, k) >= NAME_NEAR * usual
        return near if 2 * near.sum() > len(readable) else np.zeros_like(near)

    def _items(self, rows: IntArray) -> Points:
        return _unit(gather(self.features, rows) - self.center.astype(np.float32))

    def _directions(self, readable: IntArray) -> Points:
        names = self.vectors[readable].astype(np.float64)
        # A sum whose terms are in the order of their size does not hang on how the classes are numbered.
        return _unit((names - np.sort(names, axis=0).mean(axis=0)).astype(np.float32))


def column_means(features: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """The mean of at most 10,000 evenly spaced rows of ``(n, d)`` features, n ≥ 1: shape ``(d,)``."""
    step = max(1, -(-len(features) // _MEAN_ROWS))
    means: NDArray[np.float32] = np.asarray(features[::step], dtype=np.float32).mean(axis=0)
    return means


def names_evidence(shares: FloatArray, y: IntArray) -> float:
    """How far labelled rows side with the names of their own classes, in standard deviations of what chance gives.

    Were the names dealt to the classes at random, the sum over classes of how much the rows of each take to its name
    would have a mean and a deviation that follow from the table of all pairs (Hoeffding 1951). With K labelled classes
    it is at most K - 1.

    Args:
        shares: Shape ``(l, n_classes)``: those of the labelled rows.
        y: Shape ``(l,)``: their classes.

    Returns:
        The deviation; 0 where fewer than two classes have labels.

    >>> round(names_evidence(np.eye(4), np.arange(4)), 6)
    3.0
    """
    seen = np.unique(y)
    if len(seen) < 2:
        return 0.0
    table = np.stack([np.asarray(shares[y == label], np.float64)[:, seen].mean(axis=0) for label in seen])
    apart = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    deviation = float(np.sqrt((apart**2).sum() / (len(seen) - 1)))
    return float(np.trace(apart)) / deviation if deviation > 1e-9 else 0.0


def names_trust(shares: FloatArray, y: IntArray) -> float:
    """How often names are right, as a share of how often they say that they are: at most 1.

    Were the shares of an item the odds of its classes, its own class would on average have as much of it as the sum of
    their squares.

    Args:
        shares: Shape ``(l, n_classes)``: those of the labelled rows.
        y: Shape ``(l,)``: their classes.

    Returns:
        The ratio of both means; 0 where there are no rows or no shares.

    >>> names_trust(np.float32([[1, 0], [1, 0]]), np.array([0, 1]))
    0.5
    """
    said = float(np.square(shares, dtype=np.float64).sum())
    own = float(np.asarray(shares, np.float64)[np.arange(len(y)), y].sum())
    return min(1.0, own / said) if said > 0.0 else 0.0


def _spaced(rows: IntArray, most: int) -> IntArray:
    """At most so many of the rows, evenly spaced."""
    return rows[:: max(1, -(-len(rows) // most))]


def _kth_largest(values: Points, k: int) -> Points:
    """The ``k``-th largest of each row, k ≥ 1."""
    at = values.shape[1] - k
    return np.partition(values, at, axis=1)[:, at]


def _unit(rows: Points) -> Points:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    unit: Points = rows / np.maximum(lengths, np.float32(1e-9))[:, None]
    return unit
