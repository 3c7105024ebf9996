"""Optimal design: the rows whose labels would make a linear model surest about the whole pool."""

from __future__ import annotations

import numpy as np

from sampler.diversity import Points
from sampler.scores import FloatArray, IntArray

_CHUNK_ROWS = 16_384


def i_optimal(
    points: Points,
    weights: FloatArray,
    target: FloatArray,
    known: FloatArray,
    size: int,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Greedy I-optimal design (Ash et al. 2021): each pick lowers the mean variance of the pool's predictions most.

    With M the information so far and F that of the pool, a row x of weight w lowers trace(M⁻¹F) by
    w · xᵀM⁻¹FM⁻¹x / (1 + w · xᵀM⁻¹x). Both forms are kept for every row: a pick changes M⁻¹ by one rank
    (Sherman & Morrison 1950), and so costs two products of the points with a vector.

    Args:
        points: Shape ``(n, d)``: what may be picked.
        weights: Shape ``(n,)``, ≥ 0: how much a label would tell at each of them.
        target: Shape ``(d, d)``: F, the information matrix of the pool.
        known: Shape ``(d, d)``: M, that of the labels so far with the penalty; positive definite.
        size: How many to pick; all where there are fewer.

    Returns:
        Positions, shape ``(min(size, n),)``; what each pick lowers the trace by; and what each of the points would
        lower it by afterwards, shape ``(n,)``, minus infinity for those picked.
    """
    n, size = len(points), min(size, len(points))
    picks, gains = np.empty(size, dtype=np.int64), np.zeros(size)
    inverse = np.linalg.inv(known)
    spread = _forms(points, inverse)
    reach = _forms(points, inverse @ target @ inverse)
    free = np.zeros(n)
    for done in range(size):
        gain = weights * reach / (1.0 + weights * spread) + free
        pick = int(np.argmax(gain))
        picks[done], gains[done] = pick, max(float(gain[pick]), 0.0)
        free[pick] = -np.inf
        x = points[pick].astype(np.float64)
        u = inverse @ x
        t = inverse @ (target @ u)
        c = float(weights[pick]) / (1.0 + float(weights[pick]) * float(x @ u))
        q, r = (points @ np.stack([u, t], axis=1).astype(np.float32)).astype(np.float64).T
        reach += c * q * (c * float(u @ target @ u) * q - 2.0 * r)
        spread -= c * q * q
        np.maximum(reach, 0.0, out=reach)  # rounding may leave less than nothing
        np.maximum(spread, 0.0, out=spread)
        inverse -= c * np.outer(u, u)
    return picks, gains, weights * reach / (1.0 + weights * spread) + free


def information(points: Points, weights: FloatArray) -> FloatArray:
    """The sum of w · xxᵀ: shape ``(d, d)``, float64.

    >>> information(np.float32([[1.0, 2.0], [0.0, 1.0]]), np.array([0.5, 1.0])).tolist()
    [[0.5, 1.0], [1.0, 3.0]]
    """
    total = np.zeros((points.shape[1], points.shape[1]))
    for start in range(0, len(points), _CHUNK_ROWS):
        chunk = points[start : start + _CHUNK_ROWS]
        total += chunk.T @ (chunk * weights[start : start + _CHUNK_ROWS, None].astype(np.float32))
    return total


def _forms(points: Points, matrix: FloatArray) -> FloatArray:
    """The quadratic form xᵀAx of each point: shape ``(n,)``, float64."""
    forms = np.empty(len(points))
    for start in range(0, len(points), _CHUNK_ROWS):
        chunk = points[start : start + _CHUNK_ROWS]
        forms[start : start + _CHUNK_ROWS] = np.einsum("ij,ij->i", chunk @ matrix.astype(np.float32), chunk)
    return forms
