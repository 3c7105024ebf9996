"""Probabilities of labelled rows by models that were not trained on them, and what such models share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.regularisation import N_FOLDS, UNSEEN_PROBABILITY
from models.softmax import fit_softmax

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

_ITERATIONS, _TOLERANCE = 60, 1e-4
_WORK = 6e7
_LEAST_FOLDS = 2


def cross_fit(folds: IntArray, n_classes: int, answer: Callable[[IntArray, IntArray], FloatArray]) -> FloatArray:
    """Answers of each row by a model without its fold, (n, n_classes); NaN where the fold is -1.

    Args:
        folds: Shape (n,).
        n_classes: Columns of the answers.
        answer: Trains on the places of its first argument and answers for those of its second.
    """
    out = np.full((len(folds), n_classes), np.nan, dtype=np.float32)
    for fold in np.unique(folds[folds >= 0]):
        test = np.flatnonzero(folds == fold)
        out[test] = answer(np.flatnonzero(folds != fold), test)
    return out


def cross_fit_softmax(
    Z: FloatArray, y: IntArray, folds: IntArray, n_classes: int, C: float, temperature: float
) -> FloatArray:
    """`cross_fit` of softmax regression on rows (n, d) with classes (n,), each fit from zero: no fold leaks."""

    def answer(train: IntArray, test: IntArray) -> FloatArray:
        seen, targets = np.unique(y[train], return_inverse=True)
        W, b = fit_softmax(Z[train], targets, len(seen), C, max_iterations=_ITERATIONS, tolerance=_TOLERANCE)
        return spread_softmax(Z[test] @ W.T + b, seen, n_classes, temperature)

    return cross_fit(folds, n_classes, answer)


def spread_softmax(logits: FloatArray, seen: IntArray, n_classes: int, temperature: float = 1.0) -> FloatArray:
    """Probabilities of all classes, (n, n_classes) float32, from logits of the ``seen`` ones, (n, len(seen)).

    The others get `UNSEEN_PROBABILITY`; rows sum to 1.

    >>> spread_softmax(np.float32([[2.0, 2.0]]), np.array([0, 2]), 3).round(4).tolist()
    [[0.5, 0.0, 0.5]]
    """
    out = np.full((len(logits), n_classes), UNSEEN_PROBABILITY, dtype=np.float32)
    scaled = logits.astype(np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    weights = np.exp(scaled)
    share = 1.0 - UNSEEN_PROBABILITY * (n_classes - len(seen))
    out[:, seen] = weights * (share / weights.sum(axis=1, keepdims=True))
    return out


def bounded_folds(folds: IntArray, size: int) -> IntArray:
    """The same folds where testing all of them is a matter of seconds, else fewer; those left out become -1.

    Args:
        folds: Shape (n,).
        size: Labelled rows × columns × classes.
    """
    affordable = max(_LEAST_FOLDS, int(_WORK * N_FOLDS / max(1, size)))
    return np.where(folds < affordable, folds, -1)
