"""Features that have spread over the graph of nearest neighbours: what a row's surroundings say, without a label.

A random walk starts at a row and goes from neighbour to neighbour, and at each step may go back to where it began; the
diffused row is the mean of what it meets (personalised PageRank, Gasteiger, Bojchevski & Günnemann 2019). Where
neighbours share labels, rows of one class come together and far fewer labels are needed; where they do not it hurts, so
whoever uses this compares both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.auto_constants import MOST_REFERENCES, NEIGHBOURS, RESTART, STEPS
from sampler.batch import tie_keys
from sampler.diversity import Points
from sampler.neighbours import nearest_rows
from sampler.placing import Placing, Scaling
from sampler.scores import IntArray

Features = NDArray[np.floating[Any]]
Lengths = NDArray[np.float32]

_COLUMNS = 64  # columns are independent of each other: so many at a time bound the memory
_ROWS = 4_096  # and so are rows


class DiffusedPool:
    """The diffused rows of a pool, and what it takes to diffuse others by them.

    Only ``references`` are anybody's neighbours: rows that something is measured on stay out of them.
    """

    def __init__(
        self, features: Features, references: IntArray, spread: Points, lengths: Lengths, scaling: Scaling | None
    ) -> None:
        """Take up what `diffuse` made.

        Args:
            features: Shape ``(n, d)``, as there.
            references: Shape ``(r,)``, ascending.
            spread: Shape ``(r, d)``: their diffused rows, of length 1.
            lengths: Shape ``(r,)``: how long those were before. What the walk meets around a row that is near to many
                cancels out, and short as it is it must weigh little in what other rows see: otherwise rows outside of
                the graph look otherwise than those in it, and what is learned from these does not hold for them.
            scaling: As there.
        """
        self.references = references
        self.spread = spread
        self.lengths = lengths
        self._features = features
        self._placing = Placing(scaling)

    def of_rows(self, rows: IntArray) -> Points:
        """The diffused rows of some rows of the features: shape ``(len(rows), d)``, float32, of length 1 (or 0)."""
        out = np.empty((len(rows), self._features.shape[1]), dtype=np.float32)
        if len(rows) == 0:
            return out
        at = np.minimum(np.searchsorted(self.references, rows), len(self.references) - 1)
        inside = self.references[at] == rows
        out[inside] = self.spread[at[inside]]
        if not inside.all():
            others = rows[~inside]
            out[~inside] = self._seen_from(self._placing.points(self._features, others), others)
        return out

    def of_features(self, features: Features) -> Points:
        """The diffused form of rows that are not of the pool, of shape ``(m, d)`` on the scale of its features."""
        return self._seen_from(self._placing.placed(features.astype(np.float32)), features)

    def _seen_from(self, points: Points, queries: IntArray | Features) -> Points:
        k = min(NEIGHBOURS, len(self.references))
        found = nearest_rows(self._features, queries, self.references, k, scaling=self._placing.scaling)
        # A row that is a reference itself never comes here, so there are k neighbours for each.
        near = np.searchsorted(self.references, found.rows)
        for start in range(0, len(points), _ROWS):
            part = slice(start, start + _ROWS)
            met = np.einsum("ikd,ik->id", self.spread[near[part]], self.lengths[near[part]]) / k
            points[part] = RESTART * points[part] + (1 - RESTART) * met
        return _unit(points)


def diffuse(features: Features, references: IntArray, *, scaling: Scaling | None = None, seed: int = 0) -> DiffusedPool:
    """Diffuse the rows that may be neighbours over the graph that they form.

    The graph joins each row with its ten nearest, and them with it. The same rows, features and seed give the same
    result.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        references: Shape ``(r,)``: row numbers, each once, at least two. Of more than `MOST_REFERENCES` so many are
            drawn.
        scaling: As in `QueryContext`.
        seed: Draws them.

    Raises:
        InvalidInput: A row number or a value is wrong.

    >>> two_pairs = np.float32([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> diffuse(two_pairs, np.arange(4)).of_rows(np.array([0, 2])).astype(float).round(2).tolist()
    [[0.76, 0.65], [0.65, 0.76]]
    """
    rows = drawn_references(references, seed)
    k = min(NEIGHBOURS, len(rows) - 1)
    points = Placing(scaling).points(features, rows)
    nearest = nearest_rows(features, rows, rows, k, scaling=scaling, seed=seed)
    walk = _walk(np.searchsorted(rows, nearest.rows))
    for start in range(0, points.shape[1], _COLUMNS):
        columns = np.ascontiguousarray(points[:, start : start + _COLUMNS])
        met = columns
        for _ in range(STEPS):
            met = RESTART * columns + (1 - RESTART) * (walk @ met)
        points[:, start : start + _COLUMNS] = met
    lengths = _lengths(points)
    return DiffusedPool(features, rows, _unit(points), lengths, scaling)


def blend(features: Features, diffused: Features, *, scaling: Scaling | None = None) -> NDArray[np.float16]:
    """Rows half as they are and half as they are diffused: the sum of both, each at length 1, brought to length 1.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        diffused: Shape ``(n, d)``: the same rows diffused on this scale.
        scaling: As in `QueryContext`.

    Returns:
        Shape ``(n, d)``, float16; rows of zeros stay what their diffused form is.

    Raises:
        InvalidInput: A value is wrong.

    >>> blend(np.float32([[3, 0]]), np.float32([[0, 1]])).tolist()
    [[0.70703125, 0.70703125]]
    """
    placing = Placing(scaling)
    out = np.empty(features.shape, dtype=np.float16)
    for start in range(0, len(out), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(out)), dtype=np.int64)
        both = _unit(placing.points(features, rows))
        both += diffused[start : start + _ROWS]
        out[rows] = _unit(both)
    return out


def drawn_references(references: IntArray, seed: int = 0) -> IntArray:
    """Of ``references`` (r,) those that the graph is made of, ascending: all, or `MOST_REFERENCES` by a seeded draw."""
    rows = np.sort(references)
    if len(rows) <= MOST_REFERENCES:
        return rows
    return np.sort(rows[np.argpartition(tie_keys(rows, seed), MOST_REFERENCES)[:MOST_REFERENCES]])


def _walk(nearest: IntArray) -> Any:
    """The chances of a step from each row to each other, (r, r), sparse; a pair that is near both ways counts twice."""
    from scipy.sparse import csr_array, diags_array

    r, k = nearest.shape
    ones = np.ones(r * k, dtype=np.float32)
    near = csr_array((ones, (np.repeat(np.arange(r), k), nearest.ravel())), shape=(r, r))
    both = near + near.T
    return diags_array(1.0 / both.sum(axis=1), dtype=np.float32) @ both


def _unit(points: Points) -> Points:
    lengths = _lengths(points)
    points /= np.where(lengths > 0, lengths, 1.0)[:, None]
    return points


def _lengths(points: Points) -> Lengths:
    lengths: Lengths = np.sqrt(np.einsum("ij,ij->i", points, points))
    return lengths
