"""What neighbours are looked for, and the points between which distances mean something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points, gather
from sampler.errors import InvalidInput
from sampler.scores import IntArray

Features = NDArray[np.floating[Any]]
Scaling = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]

METRICS = ("euclidean", "cosine")


@dataclass(frozen=True)
class Placing:
    """How features become points between which distances mean something.

    Attributes:
        scaling: What to subtract from the columns and what to divide them by, each ``(d,)``; nothing where None.
        metric: ``euclidean``, or ``cosine``: points are first brought to length 1 (zero rows stay zero).
    """

    scaling: Scaling | None = None
    metric: str = "euclidean"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise InvalidInput("metric", f"'{self.metric}' is not one of {', '.join(METRICS)}")

    def points(self, features: Features, rows: IntArray) -> Points:
        """The points of ``rows``, shape ``(len(rows), d)``, float32.

        Raises:
            InvalidInput: A feature is NaN or infinite, or too large to square.
        """
        return self.placed(gather(features, rows))

    def placed(self, points: Points) -> Points:
        """``points`` scaled in place, and measured so that no distance can overflow."""
        if self.scaling is not None:
            points -= self.scaling[0].astype(np.float32)
            points /= self.scaling[1].astype(np.float32)
        with np.errstate(over="ignore"):
            squares = np.einsum("ij,ij->i", points, points)
        if not np.isfinite(squares).all():
            raise InvalidInput("features", "values are too large for squared distances; hand in a scaling")
        if self.metric == "cosine":
            points /= np.sqrt(np.where(squares > 0, squares, 1.0))[:, None]
        return points


@dataclass(frozen=True)
class Queries:
    """What neighbours are looked for: rows of the features, or other rows' features."""

    features: Features
    rows: IntArray
    own: bool
    """Whether ``rows`` are row numbers among which the references are; such a row is never its own neighbour."""

    @classmethod
    def of(cls, features: Features, queries: IntArray | Features) -> Queries:
        """Either form, checked.

        Raises:
            InvalidInput: Neither row numbers nor rows with as many columns as the features.
        """
        if queries.ndim == 2 and np.issubdtype(queries.dtype, np.floating):
            if queries.shape[1] != features.shape[1]:
                raise InvalidInput("queries", f"{queries.shape[1]} columns, the features have {features.shape[1]}")
            return cls(cast(Features, queries), np.arange(len(queries)), own=False)
        return cls(features, checked_rows(queries, len(features), "queries"), own=True)

    def __len__(self) -> int:
        return len(self.rows)

    def points(self, positions: IntArray, placing: Placing) -> Points:
        """The points of the queries at ``positions``."""
        return placing.points(self.features, self.rows[positions])


def checked_rows(rows: NDArray[Any], n: int, name: str) -> IntArray:
    """``rows`` as int64, each in 0 … n - 1.

    Raises:
        InvalidInput: They are not; the message bears ``name``.
    """
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidInput(name, f"shape {array.shape}, dtype {array.dtype}: hand in a list of row numbers")
    if array.size and (array.min() < 0 or array.max() >= n):
        raise InvalidInput(name, f"a row lies outside 0 … {n - 1}")
    return array.astype(np.int64)
