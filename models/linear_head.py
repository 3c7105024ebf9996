"""A linear head that answers as a teacher does, on features that can be had of a text by itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput
from models.half import widen
from models.softmax import single_blas_thread

FloatArray = NDArray[np.float32]

STRENGTHS = (30.0, 300.0, 3_000.0)
"""Inverse strengths of the penalty that are tried."""
_ASIDE = 5  # one in so many rows only says which of them is best
_LEAST_FOR_CHOICE = 100
_ITERATIONS = 100


@dataclass(frozen=True)
class LinearHead:
    """Softmax regression: ``coef`` (classes, d), ``intercept`` (classes,), and the strength that was chosen."""

    coef: FloatArray
    intercept: FloatArray
    C: float

    def predict_proba(self, X: ArrayLike) -> FloatArray:
        """Probabilities, (n, classes) float32, of features (n, d)."""
        with single_blas_thread():
            logits = widen(np.ascontiguousarray(X)) @ self.coef.T + self.intercept
        logits -= logits.max(1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(1, keepdims=True)
        answer: FloatArray = logits
        return answer


def fit_head(X: ArrayLike, soft: ArrayLike, *, rng: np.random.Generator, weight: ArrayLike | None = None) -> LinearHead:
    """Learn a teacher's probabilities from features (hinton2015).

    A teacher may have seen more than a row by itself, such as the neighbours of its item in the pool; what it made of
    that is learned here for texts that have no neighbours.

    Args:
        X: Features of the rows, (n, d).
        soft: The teacher's probabilities, (n, classes); one-hot rows for labels.
        rng: Says which rows are kept aside to choose the penalty by.
        weight: What each row counts, (n,); 1 where not given.

    Raises:
        BadInput: Shapes do not fit, or there are no rows.
    """
    rows, P = widen(np.ascontiguousarray(X)), np.asarray(soft, np.float32)
    if rows.ndim != 2 or P.ndim != 2 or len(rows) != len(P) or not len(rows):
        raise BadInput(f"A head needs rows with soft labels, not {rows.shape} with {P.shape}.")
    w = np.ones(len(rows), np.float32) if weight is None else np.asarray(weight, np.float32)
    chosen, start = STRENGTHS[1], None
    if len(rows) >= _LEAST_FOR_CHOICE:
        aside = np.zeros(len(rows), bool)
        aside[rng.permutation(len(rows))[: len(rows) // _ASIDE]] = True
        best = np.inf
        for C in STRENGTHS:
            # From the strongest penalty to the weakest, each from where the one before it ended.
            head = _fitted(rows[~aside], P[~aside], w[~aside], C, start)
            start = head
            loss = -float((w[aside, None] * P[aside] * np.log(np.maximum(head.predict_proba(rows[aside]), 1e-9))).sum())
            if loss < best:
                best, chosen = loss, C
    return _fitted(rows, P, w, chosen, start)


def _fitted(X: FloatArray, P: FloatArray, w: FloatArray, C: float, start: LinearHead | None) -> LinearHead:
    from scipy.optimize import minimize

    (n, d), k = X.shape, P.shape[1]
    total = float(w.sum())

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        W = theta[: k * d].reshape(k, d).astype(np.float32)
        Q = X @ W.T + theta[k * d :].astype(np.float32)
        Q -= Q.max(1, keepdims=True)
        picked = float((w * (P * Q).sum(1)).sum(dtype=np.float64))
        np.exp(Q, out=Q)
        sums = Q.sum(1, keepdims=True)
        value = (float((w * np.log(sums[:, 0])).sum(dtype=np.float64)) - picked) / total
        Q /= sums
        Q -= P
        Q *= w[:, None]
        gradient = np.concatenate([(Q.T @ X).ravel(), Q.sum(0)]).astype(np.float64) / total
        gradient[: k * d] += theta[: k * d] / (C * n)
        return value + float(theta[: k * d] @ theta[: k * d]) / (2 * C * n), gradient

    first = np.zeros(k * d + k)
    if start is not None:
        first[: k * d], first[k * d :] = start.coef.ravel(), start.intercept
    with single_blas_thread():
        found = minimize(
            loss, first, jac=True, method="L-BFGS-B", options={"maxiter": _ITERATIONS, "gtol": 1e-5, "ftol": 1e-8}
        )
    return LinearHead(found.x[: k * d].reshape(k, d).astype(np.float32), found.x[k * d :].astype(np.float32), float(C))
