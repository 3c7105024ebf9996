"""A part of a pool in which little scores are rare and yet every total over the pool can be estimated."""

from __future__ import annotations

import numpy as np

from sampler.batch import tie_keys
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

_FLOOR = 1e-6  # of the largest score: nothing is left out for good
_CHUNK_ROWS = 65_536


def priority_sample(scores: FloatArray, rows: IntArray, k: int, seed: int) -> tuple[IntArray, FloatArray]:
    """Draw ``k`` positions, the likelier the higher their score, by priority sampling (Duffield et al. 2007).

    A sum of anything over the sample, each term times its weight, estimates the sum over all without bias. The draw
    hangs on the rows' numbers and the seed alone.

    Args:
        scores: Shape ``(n,)``, finite, not negative; all alike where none is above 0.
        rows: Shape ``(n,)``: the row that each score belongs to.
        k: How many; all of them where there are fewer.
        seed: Decides the draw.

    Returns:
        Positions, shape ``(min(k, n),)``, in an order that only the seed and the rows decide; and for each of them one
        over the chance that it had of being drawn, float64, ≥ 1.

    Raises:
        InvalidInput: Shapes differ, or a score is negative, NaN or infinite.

    >>> positions, weights = priority_sample(np.array([0.5, 0.0, 0.2]), np.arange(3), 3, seed=0)
    >>> sorted(positions.tolist()), weights.tolist()
    ([0, 1, 2], [1.0, 1.0, 1.0])
    """
    if scores.shape != rows.shape or scores.ndim != 1:
        raise InvalidInput("scores", f"shape {scores.shape} does not go with {rows.shape[0]} rows")
    n = len(scores)
    if not np.isfinite(scores).all() or (n and scores.min() < 0.0):
        raise InvalidInput("scores", "a negative score, NaN or infinity cannot be sampled by")
    if k >= n:
        order = np.argsort(tie_keys(rows, seed), kind="stable")
        return order.astype(np.int64), np.ones(n)
    if k <= 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    top = float(scores.max())
    floor, most = (_FLOOR * top, np.inf) if top > 0.0 else (1.0, 1.0)
    priorities = np.empty(n)
    for start in range(0, n, _CHUNK_ROWS):
        part = slice(start, start + _CHUNK_ROWS)
        uniform = ((tie_keys(rows[part], seed) >> np.uint64(11)) + np.uint64(1)).astype(np.float64) / float(1 << 53)
        priorities[part] = np.clip(scores[part], floor, most, dtype=np.float64) / uniform
    last = np.argpartition(priorities, n - k - 1)[n - k - 1 :]
    threshold, kept = float(priorities[last[0]]), last[1:]
    kept = kept[np.argsort(tie_keys(rows[kept], seed), kind="stable")]
    sizes = np.clip(scores[kept], floor, most, dtype=np.float64)
    return kept.astype(np.int64), np.maximum(1.0, threshold / sizes)
