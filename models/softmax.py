"""The optimiser behind the logistic teacher: L2-regularised softmax regression by L-BFGS, warm-started, one thread."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@cache
def _thread_controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_blas_thread() -> AbstractContextManager[Any]:
    """One BLAS thread inside: on matrices as small as these, two cost more in waiting than they bring."""
    limited: AbstractContextManager[Any] = _thread_controller().limit(limits=1, user_api="blas")
    return limited


def fit_softmax(
    Z: FloatArray,
    y: IntArray,
    n_classes: int,
    C: float,
    *,
    start: tuple[FloatArray, FloatArray] | None = None,
    max_iterations: int = 200,
    tolerance: float = 3e-5,
) -> tuple[FloatArray, FloatArray]:
    """Minimise Σ cross-entropy + ‖W‖² / 2C; the intercept is free.

    Args:
        Z: Features on a common scale, (n, d) float32.
        y: Classes, (n,), each of 0 … n_classes - 1 at least once.
        n_classes: Number of classes; with one there is nothing to learn and zeros come back.
        C: Inverse strength of the penalty.
        start: Weights and intercepts to begin from, (n_classes, d) and (n_classes,).
        max_iterations: Of L-BFGS.
        tolerance: Ends when no component of the mean loss's gradient is larger.

    Returns:
        W (n_classes, d) and b (n_classes,), float32.
    """
    n, d = Z.shape
    if n_classes == 1:
        return np.zeros((1, d), dtype=np.float32), np.zeros(1, dtype=np.float32)
    rows = np.arange(n)
    size = n_classes * d

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        W = theta[:size].reshape(n_classes, d).astype(np.float32)
        P = Z @ W.T
        P += theta[size:].astype(np.float32)
        P -= P.max(axis=1, keepdims=True)
        picked = P[rows, y].sum(dtype=np.float64)
        np.exp(P, out=P)
        total = P.sum(axis=1, keepdims=True)
        value = (np.log(total).sum(dtype=np.float64) - picked) / n
        P /= total
        P[rows, y] -= 1
        gradient = np.concatenate([(P.T @ Z).ravel(), P.sum(axis=0)]).astype(np.float64)
        gradient /= n
        gradient[:size] += theta[:size] / (C * n)
        return float(value + theta[:size] @ theta[:size] / (2 * C * n)), gradient

    return minimised(loss, (n_classes, d), start, max_iterations, tolerance)


def minimised(
    loss: Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]],
    shape: tuple[int, int],
    start: tuple[FloatArray, FloatArray] | None,
    max_iterations: int,
    tolerance: float,
) -> tuple[FloatArray, FloatArray]:
    """Weights of a shape (k, d) and k intercepts of the least loss, float32, by L-BFGS.

    Args:
        loss: Takes the weights row by row, then the intercepts; gives their loss and its gradient.
        shape: Of the weights.
        start: Where to begin; zeros when None.
        max_iterations: Of L-BFGS.
        tolerance: Ends when no component of the gradient is larger.
    """
    from scipy.optimize import minimize

    k, d = shape
    first = np.zeros(k * d + k)
    if start is not None:
        first[: k * d], first[k * d :] = start[0].ravel(), start[1]
    with single_blas_thread():
        found = minimize(
            loss,
            first,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iterations, "gtol": tolerance, "ftol": 1e-9, "maxcor": 10},
        )
    return found.x[: k * d].reshape(k, d).astype(np.float32), found.x[k * d :].astype(np.float32)
