"""Softmax regression on rows of which some have a label and others only probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.softmax import FloatArray, minimised


def fit_soft_softmax(
    Z: FloatArray,
    targets: FloatArray,
    C: float,
    *,
    start: tuple[FloatArray, FloatArray] | None = None,
    max_iterations: int = 100,
    tolerance: float = 1e-4,
) -> tuple[FloatArray, FloatArray]:
    """Minimise Σ cross-entropy to ``targets`` + ‖W‖² / 2C; the intercept is free. With one-hot targets, `fit_softmax`.

    Args:
        Z: Features on a common scale, (n, d) float32.
        targets: Probabilities, (n, k), rows sum to 1.
        C: Inverse strength of the penalty.
        start: Weights and intercepts to begin from.
        max_iterations: Of L-BFGS.
        tolerance: Ends when no component of the mean loss's gradient is larger.

    Returns:
        W (k, d) and b (k,), float32; zeros where there is one class only.
    """
    (n, d), k = Z.shape, targets.shape[1]
    if k == 1:
        return np.zeros((1, d), dtype=np.float32), np.zeros(1, dtype=np.float32)
    size = k * d

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        P = Z @ theta[:size].reshape(k, d).astype(np.float32).T
        P += theta[size:].astype(np.float32)
        P -= P.max(axis=1, keepdims=True)
        picked = float((P * targets).sum(dtype=np.float64))
        np.exp(P, out=P)
        total = P.sum(axis=1, keepdims=True)
        value = (float(np.log(total).sum(dtype=np.float64)) - picked) / n
        P /= total
        P -= targets
        gradient = np.concatenate([(P.T @ Z).ravel(), P.sum(axis=0)]).astype(np.float64) / n
        gradient[:size] += theta[:size] / (C * n)
        return value + float(theta[:size] @ theta[:size]) / (2 * C * n), gradient

    return minimised(loss, (k, d), start, max_iterations, tolerance)
