"""Randomised scores: a power of a score, drawn without replacement by Gumbel noise that is bound to the row."""

from __future__ import annotations

import numpy as np

from sampler.batch import tie_keys
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

SHARPNESS = 1.0  # Kirsch et al. (2023) use 1 throughout and find little to gain by tuning it
FLOOR = 1e-6  # the least that an item counts, so that every item can be drawn


def gumbel_noise(rows: IntArray, seed: int) -> FloatArray:
    """Standard Gumbel noise made of a hash of each row and the seed, so that it does not hang on the array's order.

    Args:
        rows: Shape ``(n,)``.
        seed: Any integer.

    Returns:
        Shape ``(n,)``, finite.
    """
    bits = tie_keys(rows, seed) >> np.uint64(11)
    uniform = (bits.astype(np.float64) + 0.5) / float(1 << 53)  # inside (0, 1): both logarithms are finite
    noise: FloatArray = -np.log(-np.log(uniform))
    return noise


def power_weights(scores: FloatArray, *, sharpness: float = SHARPNESS) -> FloatArray:
    """The odds of a power draw: the scores, those below ``FLOOR`` as ``FLOOR``, to the power of ``sharpness``.

    >>> power_weights(np.array([0.5, 0.0])).tolist()
    [0.5, 1e-06]
    """
    weights: FloatArray = np.maximum(scores, FLOOR, dtype=np.float64)
    return weights if sharpness == 1.0 else weights**sharpness


def power_scores(scores: FloatArray, rows: IntArray, seed: int, *, sharpness: float = SHARPNESS) -> FloatArray:
    """``sharpness · log(score)`` plus Gumbel noise: the top k is a draw without replacement, odds the scores' powers.

    Power acquisition (Kirsch et al. 2023), on margins known as power margin (Bahri et al. 2022). At 0 the draw is
    uniform, and for ever larger values it becomes the plain top k.

    Args:
        scores: Shape ``(n,)``, not negative; those below ``FLOOR`` count as ``FLOOR``.
        rows: Shape ``(n,)``: the row that each score belongs to.
        seed: Decides the draw.
        sharpness: The exponent, not negative.

    Returns:
        Shape ``(n,)``, finite.

    Raises:
        InvalidInput: Shapes differ, a score is negative, NaN or infinite, or the sharpness is.

    >>> even = power_scores(np.ones(4), np.arange(4), seed=0, sharpness=3.0)
    >>> bool((even == gumbel_noise(np.arange(4), seed=0)).all())
    True
    """
    if scores.ndim != 1 or scores.shape != rows.shape:
        raise InvalidInput("scores", f"shape {scores.shape} does not go with {rows.shape[0]} rows")
    if len(scores) and not (np.isfinite(scores).all() and scores.min() >= 0.0):
        raise InvalidInput("scores", "a power needs finite scores that are not negative")
    if not 0.0 <= sharpness < np.inf:
        raise InvalidInput("sharpness", f"{sharpness} is not a finite number of at least 0")
    drawn: FloatArray = sharpness * np.log(np.maximum(scores, FLOOR, dtype=np.float64)) + gumbel_noise(rows, seed)
    return drawn
