"""Ranked batch mode: distance to what is labelled, and doubt, in a mixture that shifts as labels come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points, nearest_distances, square_distances
from sampler.scores import FloatArray, IntArray

_STALE_AT_ONCE = 32
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
    picks, values = np.empty(size, dtype=np.int64), np.zeros(size)
    unlike = _unlike(points, covered) if len(covered) else np.ones(n)
    fresh = np.zeros(n, dtype=np.int64)  # how many of the picks it knows of
    free = np.zeros(n)

    def bounds(done: int, rows: IntArray | slice) -> FloatArray:
        share = (pool - done) / max(pool + labeled, 1)
        bound: FloatArray = share * unlike[rows] + (1.0 - share) * scores[rows] + free[rows]
        return bound

    def refresh(done: int, rows: IntArray) -> None:
        since = int(fresh[rows].min())
        unlike[rows] = np.minimum(unlike[rows], _unlike(points[rows], points[picks[since:done]]))
        fresh[rows] = done

    done = 0
    if len(covered) == 0 and size:
        picks[0], values[0] = _middle(points), 1.0
        free[picks[0]] = -np.inf
        done = 1
    while done < size:
        bound = bounds(done, slice(None))
        top = int(np.argmax(bound))
        while fresh[top] < done:
            stale = _stale(bound, fresh, done, top)
            refresh(done, stale)
            bound[stale] = bounds(done, stale)
            top = int(np.argmax(bound))
        picks[done], values[done] = top, bound[top]
        free[top] = -np.inf
        done += 1
    if afterwards and 0 < done < n:
        refresh(done, np.arange(n))
    return picks, values, bounds(done, slice(None))


def _unlike(points: Points, others: Points) -> FloatArray:
    """One minus the similarity to the nearest of the others: shape ``(n,)``, in [0, 1)."""
    distances = np.sqrt(nearest_distances(points, others)).astype(np.float64)
    unlike: FloatArray = distances / (1.0 + distances)
    return unlike


def _stale(bound: FloatArray, fresh: IntArray, done: int, top: int) -> IntArray:
    """Those with the largest bounds that do not know of all picks."""
    k = min(_STALE_AT_ONCE, len(bound))
    largest: NDArray[np.int64] = np.argpartition(-bound, k - 1)[:k]
    stale = largest[(fresh[largest] < done) & np.isfinite(bound[largest])]
    return stale if top in stale else np.append(stale, top)


def _middle(points: Points) -> int:
    """The point with the smallest mean distance to the others, measured against a part of them."""
    total = np.zeros(len(points))
    reference = points[:_MOST_AVERAGED]
    for start in range(0, len(reference), 128):
        total += np.sqrt(square_distances(points, reference[start : start + 128])).sum(axis=1, dtype=np.float64)
    return int(np.argmin(total))
