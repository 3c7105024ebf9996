"""Measures of classifiers: pure functions of labels and predictions. Classes are integers ``0 … n_classes - 1``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput

PROBABILITY_FLOOR = 1e-12


def accuracy(y: ArrayLike, predicted: ArrayLike) -> float:
    """Share of rows where the two agree.

    Args:
        y: True classes, shape (n,).
        predicted: Predicted classes, shape (n,).

    Raises:
        BadInput: Shapes differ, or there are no rows.

    >>> accuracy([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """
    truth, guess = _pair(y, predicted)
    return float(np.mean(truth == guess))


def agreement(first: ArrayLike, second: ArrayLike) -> float:
    """Share of rows on which two models give the same class.

    Args:
        first: Probabilities (n, C), or classes (n,).
        second: The same of the other model.

    Raises:
        BadInput: Row counts differ, or there are no rows.

    >>> agreement([[.9, .1], [.4, .6]], [0, 0])
    0.5
    """
    a, b = np.asarray(first), np.asarray(second)
    return accuracy(a.argmax(axis=1) if a.ndim == 2 else a, b.argmax(axis=1) if b.ndim == 2 else b)


def confusion(y: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Counts of (true class, predicted class), shape (n_classes, n_classes).

    Raises:
        BadInput: Shapes differ, there are no rows, or a class is out of range.

    >>> confusion([0, 1, 1], [0, 1, 0], 2).tolist()
    [[1, 0], [1, 1]]
    """
    truth, guess = _pair(y, predicted)
    if min(truth.min(), guess.min()) < 0 or max(truth.max(), guess.max()) >= n_classes:
        raise BadInput(f"Classes must lie in 0 … {n_classes - 1}.")
    return np.bincount(truth * n_classes + guess, minlength=n_classes**2).reshape(n_classes, n_classes)


def macro_f1(y: ArrayLike, predicted: ArrayLike, n_classes: int) -> float:
    """Mean F1 over the classes that occur in ``y`` or in ``predicted``; the others say nothing.

    Raises:
        BadInput: As for `confusion`.

    >>> round(macro_f1([0, 0, 1, 1], [0, 1, 1, 1], 3), 4)
    0.7333
    """
    table = confusion(y, predicted, n_classes)
    hits = np.diag(table)
    seen = table.sum(axis=0) + table.sum(axis=1)
    return float(np.mean(2 * hits[seen > 0] / seen[seen > 0]))


def log_losses(y: ArrayLike, probabilities: ArrayLike) -> NDArray[np.float64]:
    """Minus the log of the probability given to the true class of each row, shape (n,), floored at 1e-12.

    Raises:
        BadInput: Shapes do not fit, or a class is out of range.
    """
    truth, P = _with_probabilities(y, probabilities)
    picked = P[np.arange(len(truth)), truth]
    return -np.log(np.maximum(picked, PROBABILITY_FLOOR))


def log_loss(y: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean of `log_losses`, in nats.

    >>> round(log_loss([0, 1], [[.5, .5], [.25, .75]]), 4)
    0.4904
    """
    return float(log_losses(y, probabilities).mean())


def brier_score(y: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance between probabilities and the one-hot truth, in 0 … 2.

    Raises:
        BadInput: Shapes do not fit, or a class is out of range.

    >>> brier_score([0, 1], [[1, 0], [.5, .5]])
    0.25
    """
    truth, P = _with_probabilities(y, probabilities)
    picked = P[np.arange(len(truth)), truth]
    return float(np.mean((P**2).sum(axis=1) - 2 * picked + 1))


@dataclass(frozen=True)
class CalibrationBins:
    """Rows sorted by the probability of their likeliest class and parted into bins of equally many; (bins,) each.

    Attributes:
        confidence: Mean probability of the likeliest class.
        accuracy: Share of rows where that class is the true one.
        rows: How many there are.
        low: The smallest such probability in it.
        high: The largest.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    rows: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def calibration_bins(y: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> CalibrationBins:
    """How often the likeliest class is right, beside how sure of it the model is: what a calibration plot draws.

    Bins hold equally many rows, or one more: bins of equal width would leave most of them nearly empty (nguyen2015).
    Rows of the same confidence stay together, so that their order changes nothing.

    Args:
        y: True classes, (n,).
        probabilities: Shape (n, C).
        bins: How many; as many as there are rows where those are fewer.

    Raises:
        BadInput: Shapes do not fit, a class is out of range, or there is no bin.

    >>> found = calibration_bins([0, 1, 1, 1], [[.6, .4], [.6, .4], [.1, .9], [.1, .9]], bins=2)
    >>> found.confidence.tolist(), found.accuracy.tolist(), found.rows.tolist()
    ([0.6, 0.9], [0.5, 1.0], [2, 2])
    """
    truth, P = _with_probabilities(y, probabilities)
    if bins < 1:
        raise BadInput(f"Calibration needs one bin at least, not {bins}.")
    confidence, right = P.max(axis=1), P.argmax(axis=1) == truth
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    edges = np.linspace(0, len(truth), min(bins, len(truth)) + 1).round().astype(np.int64)
    edges = np.unique(np.searchsorted(confidence, confidence[edges[:-1]]))  # to where rows of that confidence begin
    counts = np.diff(np.append(edges, len(truth)))
    return CalibrationBins(
        np.add.reduceat(confidence, edges) / counts,
        np.add.reduceat(right.astype(np.float64), edges) / counts,
        counts,
        confidence[edges],
        confidence[edges + counts - 1],
    )


def expected_calibration_error(y: ArrayLike, probabilities: ArrayLike, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over `calibration_bins` (equally many rows each), by rows; 0 … 1.

    Chance alone gives a calibrated model a little too, of the order of √(bins / rows): compare at one number of rows.

    Raises:
        BadInput: As there.

    >>> round(expected_calibration_error([0, 1, 1, 1], [[.6, .4], [.6, .4], [.1, .9], [.1, .9]], bins=2), 4)
    0.1
    """
    found = calibration_bins(y, probabilities, bins)
    return float(np.average(np.abs(found.confidence - found.accuracy), weights=found.rows))


def class_figures(
    y: ArrayLike, predicted: ArrayLike, n_classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1 of each class, each (n_classes,); NaN where a class gives nothing to divide by.

    Raises:
        BadInput: As for `confusion`.

    >>> precision, recall, f1 = class_figures([0, 0, 1], [0, 1, 1], 2)
    >>> precision.tolist(), recall.tolist()
    ([1.0, 0.5], [0.5, 1.0])
    """
    table = confusion(y, predicted, n_classes).astype(np.float64)
    hits, true, guessed = np.diag(table), table.sum(axis=1), table.sum(axis=0)

    def over(count: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.full(n_classes, np.nan)
        np.divide(count, whole, out=out, where=whole > 0)
        return out

    return over(hits, guessed), over(hits, true), over(2 * hits, true + guessed)


def _pair(y: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    truth, guess = np.asarray(y), np.asarray(predicted)
    if truth.shape != guess.shape or truth.ndim != 1:
        raise BadInput(f"Labels and predictions must be two lists of one length, not {truth.shape} and {guess.shape}.")
    if not len(truth):
        raise BadInput("There is nothing to measure: no rows.")
    return truth.astype(np.int64), guess.astype(np.int64)


def _with_probabilities(y: ArrayLike, probabilities: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    truth, P = np.asarray(y), np.asarray(probabilities, dtype=np.float64)
    if truth.ndim != 1 or P.ndim != 2 or len(truth) != len(P):
        raise BadInput(f"Probabilities must be (n, classes) for n labels, not {P.shape} for {truth.shape}.")
    if not len(truth):
        raise BadInput("There is nothing to measure: no rows.")
    if truth.min() < 0 or truth.max() >= P.shape[1]:
        raise BadInput(f"Classes must lie in 0 … {P.shape[1] - 1}.")
    return truth.astype(np.int64), P
