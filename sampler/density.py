"""Density: how like the pool an item is, through the pool's mean direction and so in one pass, not in n² products."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.chunks import Scaling, feature_chunks, refuse_features
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

WEIGHT = 1.0  # the exponent of Settles & Craven (2008) in their experiments


def density_scores(
    features: NDArray[np.floating[Any]],
    rows: IntArray,
    scaling: Scaling | None = None,
    weights: FloatArray | None = None,
) -> FloatArray:
    """Mean cosine similarity of each item to all of them, itself included (information density: Settles & Craven 2008).

    The mean of x·z / (‖x‖ ‖z‖) over z is the product of x / ‖x‖ with the mean of z / ‖z‖: n · d operations for what
    takes n² · d when similarities are made pair by pair. An item of length 0 is like nothing: similarity 0.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        rows: Shape ``(k,)``: the pool.
        scaling: Columns are divided by its second part and not centred: seen from the pool's own centre, directions
            say nothing of density.
        weights: Shape ``(k,)``, > 0: how often each counts in the mean; once where None.

    Returns:
        Shape ``(k,)``, in [-1, 1].

    Raises:
        InvalidInput: A feature is NaN or infinite.

    >>> density_scores(np.float32([[1, 0], [2, 0], [0, 1]]), np.arange(3)).round(6).tolist()
    [0.666667, 0.666667, 0.333333]
    """
    divisor = None if scaling is None else scaling[1].astype(np.float32)
    total = np.zeros(features.shape[1])
    inverse = np.empty(len(rows), dtype=np.float32)
    for stretch, chunk in feature_chunks(features, rows):
        with np.errstate(over="ignore", invalid="ignore"):
            points = chunk if divisor is None else chunk / divisor
            norms = np.sqrt(np.vecdot(points, points))
        if not np.isfinite(norms).all():
            refuse_features(chunk, rows[stretch])
        np.divide(1.0, norms, out=norms, where=norms > 0.0)
        inverse[stretch] = norms
        total += (norms if weights is None else norms * weights[stretch]) @ points
    mean = (total / (max(1, len(rows)) if weights is None else float(weights.sum()))).astype(np.float32)
    if divisor is not None:
        mean /= divisor
    scores = np.empty(len(rows))
    for stretch, chunk in feature_chunks(features, rows):
        scores[stretch] = (chunk @ mean) * inverse[stretch]
    return np.clip(scores, -1.0, 1.0)


def density_weighted_scores(scores: FloatArray, densities: FloatArray, *, weight: float = WEIGHT) -> FloatArray:
    """Information density (Settles & Craven 2008): an item's uncertainty times a power of its density.

    Args:
        scores: Shape ``(n,)``: uncertainty, not negative.
        densities: Shape ``(n,)``: mean similarity to the pool; what is below 0 counts as 0.
        weight: The exponent; 0 leaves the uncertainty as it is.

    Returns:
        Shape ``(n,)``, not negative.

    Raises:
        InvalidInput: Shapes differ, a value is NaN or infinite, or an uncertainty or the weight is negative.

    >>> density_weighted_scores(np.array([1.0, 0.5]), np.array([0.5, 0.8]), weight=2.0).round(6).tolist()
    [0.25, 0.32]
    """
    if scores.shape != densities.shape or scores.ndim != 1:
        raise InvalidInput("densities", f"shape {densities.shape} does not go with scores of shape {scores.shape}")
    if not (np.isfinite(scores).all() and np.isfinite(densities).all()):
        raise InvalidInput("scores", "NaN or infinity cannot be weighted")
    if (scores < 0.0).any() or not 0.0 <= weight < np.inf:
        raise InvalidInput("scores", "uncertainty and weight must not be negative")
    weighted: FloatArray = scores * np.maximum(densities, 0.0) ** weight
    return weighted
