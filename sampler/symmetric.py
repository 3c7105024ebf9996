"""Symmetric matrices of which a little more than half is made and kept: similarities of a few thousand points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points
from sampler.errors import InvalidInput

Matrix = NDArray[np.float32]

_STRIPE_ROWS = 512


@dataclass(frozen=True)
class Symmetric:
    """A symmetric matrix of shape ``(n, n)`` in stripes of rows, each from the diagonal on.

    Attributes:
        stripes: Shapes ``(rows, n - start)``, where a stripe starts at the row, and the column, at which the one before
            it ends. What lies below the diagonal is read from above it, within a stripe's own square too.
    """

    stripes: tuple[Matrix, ...]

    @classmethod
    def of(cls, matrix: Matrix) -> Symmetric:
        """Views of a whole matrix.

        Raises:
            InvalidInput: It has not as many rows as columns.
        """
        n = len(matrix)
        if matrix.shape != (n, n):
            raise InvalidInput("kernel", f"shape {matrix.shape} is no square")
        return cls(tuple(matrix[start : start + _STRIPE_ROWS, start:] for start in range(0, n, _STRIPE_ROWS)))

    @classmethod
    def square_distances(cls, points: Points) -> Symmetric:
        """Squared Euclidean distances between points of shape ``(n, d)``: ≥ 0, 0 of a point to itself.

        >>> Symmetric.square_distances(np.float32([[0, 0], [3, 4]])).row(1).tolist()
        [25.0, 0.0]
        """
        lengths = np.einsum("ij,ij->i", points, points)
        stripes = []
        for start in range(0, len(points), _STRIPE_ROWS):
            own = slice(start, start + _STRIPE_ROWS)
            distances: Matrix = points[own] @ points[start:].T
            distances *= -2.0
            distances += lengths[own, None] + lengths[start:]
            np.maximum(distances, 0.0, out=distances)
            np.fill_diagonal(distances, 0.0)
            stripes.append(distances)
        return cls(tuple(stripes))

    def __len__(self) -> int:
        return self.stripes[0].shape[1] if self.stripes else 0

    def placed(self) -> Iterator[tuple[int, Matrix]]:
        """Each stripe with the row that it starts at."""
        for stripe in self.stripes:
            yield len(self) - stripe.shape[1], stripe

    def map(self, change: Callable[[Matrix], Matrix]) -> Symmetric:
        """What ``change`` makes of each stripe; it may work in place."""
        return Symmetric(tuple(change(stripe) for stripe in self.stripes))

    def scaled(self, factors: NDArray[np.float32]) -> Symmetric:
        """Each entry times the factors, (n,), of its row and its column, in place."""
        for start, stripe in self.placed():
            stripe *= factors[start : start + len(stripe), None]
            stripe *= factors[start:]
        return self

    def row_means(self) -> NDArray[np.float64]:
        """The mean of each row: shape ``(n,)``.

        >>> Symmetric.of(np.float32([[0, 1], [1, 3]])).row_means().tolist()
        [0.5, 2.0]
        """
        sums = np.zeros(len(self))
        for start, stripe in self.placed():
            stop = start + len(stripe)
            sums[start:stop] += stripe.sum(axis=1, dtype=np.float64)
            sums[stop:] += stripe[:, stop - start :].sum(axis=0, dtype=np.float64)
        return sums / max(1, len(self))

    def row(self, number: int) -> Matrix:
        """A copy of a row: shape ``(n,)``."""
        row = np.empty(len(self), dtype=np.float32)
        for start, stripe in self.placed():
            if number < start + len(stripe):
                row[start:] = stripe[number - start]
                break
            row[start : start + len(stripe)] = stripe[:, number - start]
        return row

    def square(self, numbers: NDArray[np.int64]) -> Matrix:
        """A copy of the rows and columns ``numbers`` (k,), ascending: shape ``(k, k)``.

        >>> Symmetric.of(np.float32([[0, 1, 2], [1, 3, 4], [2, 4, 5]])).square(np.array([0, 2])).tolist()
        [[0.0, 2.0], [2.0, 5.0]]
        """
        among = np.empty((len(numbers), len(numbers)), dtype=np.float32)
        for start, stripe in self.placed():
            first, last = np.searchsorted(numbers, [start, start + len(stripe)])
            part = np.take(stripe[numbers[first:last] - start], numbers[first:] - start, axis=1)
            among[first:, first:last] = part.T
            among[first:last, first:] = part
        return among

    def row_maxima(self, numbers: NDArray[np.int64]) -> Matrix:
        """The largest entry of each column in the rows ``numbers`` (k,), ascending: shape ``(n,)``; 0 without a row.

        >>> Symmetric.of(np.float32([[0, 1, 2], [1, 3, 4], [2, 4, 5]])).row_maxima(np.array([0, 1])).tolist()
        [1.0, 3.0, 4.0]
        """
        most = np.zeros(len(self), dtype=np.float32)
        for start, stripe in self.placed():
            stop = start + len(stripe)
            first, last = np.searchsorted(numbers, [start, stop])
            if first < last:
                np.maximum(most[start:], stripe[numbers[first:last] - start].max(axis=0), out=most[start:])
            if last < len(numbers):
                later = stripe[:, numbers[last:] - start].max(axis=1)
                np.maximum(most[start:stop], later, out=most[start:stop])
        return most
