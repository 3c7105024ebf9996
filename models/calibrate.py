"""Temperature scaling (guo2017): one number that makes probabilities honest without changing a single decision."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput
from models.evaluate import PROBABILITY_FLOOR

_LOW, _HIGH = 0.05, 20.0


def fit_temperature(probabilities: ArrayLike, y: ArrayLike) -> float:
    """The temperature in 0.05 … 20 that minimises log-loss on rows that were not trained on.

    Args:
        probabilities: Shape (n, C), rows sum to 1.
        y: True classes, shape (n,).

    Returns:
        1.0 where there are no rows; above 1 softens, below 1 sharpens.

    Raises:
        BadInput: Shapes do not fit, or a class is out of range.
    """
    P, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(y)
    if P.ndim != 2 or truth.ndim != 1 or len(P) != len(truth):
        raise BadInput(f"Probabilities must be (n, classes) for n labels, not {P.shape} for {truth.shape}.")
    if not len(truth):
        return 1.0
    if truth.min() < 0 or truth.max() >= P.shape[1]:
        raise BadInput(f"Classes must lie in 0 … {P.shape[1] - 1}.")
    logits = np.log(np.maximum(P, PROBABILITY_FLOOR))
    picked = logits[np.arange(len(truth)), truth.astype(np.int64)]

    def loss(log_temperature: float) -> float:
        inverse = float(np.exp(-log_temperature))
        scaled = logits * inverse
        top = scaled.max(axis=1)
        return float(np.mean(top + np.log(np.exp(scaled - top[:, None]).sum(axis=1)) - picked * inverse))

    from scipy.optimize import minimize_scalar

    # The loss is convex in 1/T, hence has one valley in log T.
    found = minimize_scalar(loss, bounds=(float(np.log(_LOW)), float(np.log(_HIGH))), method="bounded")
    return float(np.exp(found.x)) if loss(float(found.x)) < loss(0.0) else 1.0


def apply_temperature(probabilities: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Probabilities at that temperature, shape (n, C), rows sum to 1, order within each row unchanged.

    Raises:
        BadInput: The temperature is not above zero.

    >>> apply_temperature([[.8, .2]], 1e9).round(3).tolist()
    [[0.5, 0.5]]
    """
    if not temperature > 0:
        raise BadInput(f"A temperature is above zero, not {temperature}.")
    logits = np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), PROBABILITY_FLOOR)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    P = np.exp(logits)
    return np.asarray(P / P.sum(axis=1, keepdims=True))
