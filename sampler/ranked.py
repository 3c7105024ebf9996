"""Ranked batch mode: distance to what is labelled, and doubt, in a mixture that shifts as labels come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points, square_distances
from sampler.kcenter import Front, Nearest
from sampler.scores import FloatArray, IntArray

_ROUNDING = 1e-9  # of bounds near 1, many times over
_MOST_AVERAGED = 2_048  # the mean distance to this many tells the middle of a pool as well as that to all


def ranked_batch(
    points: Points,
    scores: FloatArray,
    covered: Points,
    size: int,
    *,
    n_pool: int | None = None,
    n_labeled: int | None = None,
    afterwards: bool = True,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Rank by α · (1 − similarity to the nearest covered) + (1 − α) · uncertainty (Cardoso et al. 2017).

    Similarity is 1 / (1 + distance), and α the share of the pool that is not labelled; each pick counts as covered from
    then on. With nothing covered, the point with the smallest mean distance to the others is first. Lazy: a point only
    becomes more similar to what is covered, so an old similarity bounds its score, and only the points on top are
    brought up to date. The picks are those of the plain algorithm.

    Args:
        points: Shape ``(n, d)``: what may be ranked.
        scores: Shape ``(n,)``: uncertainty, in [0, 1].
        covered: Shape ``(c, d)``: labelled or pending.
        size: How many to pick; all where there are fewer.
        n_pool: How many are not labelled, where ``points`` are a part of them.
        n_labeled: How many are labelled, where ``covered`` are a part of them.
        afterwards: Whether the scores afterwards are wanted exactly: each is then compared with all picks. Where not,
            they are bounds.

    Returns:
        Positions, shape ``(min(size, n),)``; the score that each had when it was picked; and the score of each of the
        points afterwards, shape ``(n,)``, minus infinity for those picked.
    """
    n, size = len(points), min(size, len(points))
    pool, labeled = n if n_pool is None else n_pool, len(covered) if n_labeled is None else n_labeled
    total = max(pool + labeled, 1)
    nearest, front = Nearest(points, covered), Front(n)
    values = np.zeros(size)
    unlike = _unlike(nearest.square)
    free = np.zeros(n)

    def bounds(rows: IntArray | slice) -> FloatArray:
        share = (pool - len(nearest.picks)) / total
        bound: FloatArray = share * unlike[rows] + (1.0 - share) * scores[rows] + free[rows]
        return bound

    def advance(rows: IntArray, top: int) -> None:
        nearest.advance(rows, top)
        unlike[rows] = _unlike(nearest.square[rows])

    def take(position: int, value: float) -> None:
        values[len(nearest.picks)] = value
        free[position] = -np.inf
        nearest.take(position)

    if len(covered) == 0 and size:
        take(_middle(points), 1.0)
    while len(nearest.picks) < size:
        # One pick less to come moves this much weight from distance to uncertainty; neither is larger than 1.
        top = front.top(bounds, rise=1.0 / total + _ROUNDING)
        while not nearest.is_exact(top):
            advance(front.stale(bounds, top), top)
            top = front.top(bounds)
        take(top, float(bounds(np.array([top]))[0]))
    if afterwards and 0 < len(nearest.picks) < n:
        nearest.refresh(np.arange(n))
        unlike = _unlike(nearest.square)
    return np.array(nearest.picks, dtype=np.int64), values, bounds(slice(None))


def _unlike(square: NDArray[np.float32]) -> FloatArray:
    """One minus the similarity to the nearest of the others, by their squared distances: in [0, 1], 1 for none."""
    distances = np.sqrt(square).astype(np.float64)
    unlike = np.ones(len(square))
    np.divide(distances, 1.0 + distances, out=unlike, where=np.isfinite(distances))
    return unlike


def _middle(points: Points) -> int:
    """The point with the smallest mean distance to the others, measured against a part of them."""
    total = np.zeros(len(points))
    reference = points[:_MOST_AVERAGED]
    for start in range(0, len(reference), 128):
        total += np.sqrt(square_distances(points, reference[start : start + 128])).sum(axis=1, dtype=np.float64)
    return int(np.argmin(total))
