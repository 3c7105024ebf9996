"""Measuring a round's models on rows that nothing was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluate import brier_score, log_loss, macro_f1
from models.reports import calibration
from worker.evidence import LEAST_MEASURED, confidence_sequence
from worker.round_data import FloatArray, IntArray

LEAST_FOR_ECE = 200
"""Under so many rows the calibration error of an honest model looks like a dishonest one's."""


def measured(y: IntArray, probabilities: FloatArray) -> dict[str, Any] | None:
    """Accuracy with its interval, macro-F1, log-loss, Brier score and calibration; None under 50 rows.

    Args:
        y: True classes, shape ``(n,)``.
        probabilities: Shape ``(n, n_classes)``.

    Returns:
        ``{value, low, high, labels, macro_f1, log_loss, brier, ece}``, or None where that is not yet measurable. The
        interval is anytime-valid; ``ece`` is None under 200 rows.
    """
    if len(y) < LEAST_MEASURED:
        return None
    right = int(right_rows(y, probabilities).sum())
    low, high = confidence_sequence(right, len(y))
    calibrated = calibration(y, probabilities)
    return {
        "value": right / len(y),
        "low": low,
        "high": high,
        "labels": len(y),
        "macro_f1": macro_f1(y, probabilities.argmax(axis=1), probabilities.shape[1]),
        "log_loss": log_loss(y, probabilities),
        "brier": brier_score(y, probabilities),
        "ece": None if calibrated is None else calibrated["ece"],
    }


def right_rows(y: IntArray, probabilities: FloatArray) -> NDArray[np.bool_]:
    """On which rows the likeliest class is the true one: shape ``(n,)``."""
    right: NDArray[np.bool_] = probabilities.argmax(axis=1) == y
    return right


def in_order_of(probabilities: FloatArray, class_names: tuple[str, ...], wanted: tuple[str, ...]) -> FloatArray:
    """The columns of an older model in today's order of classes; a class that it did not know gets 0.

    >>> in_order_of(np.array([[0.25, 0.75]]), ("a", "b"), ("b", "c", "a")).tolist()
    [[0.75, 0.0, 0.25]]
    """
    if class_names == wanted:
        return probabilities
    out = np.zeros((len(probabilities), len(wanted)), dtype=probabilities.dtype)
    for column, name in enumerate(class_names):
        if name in wanted:
            out[:, wanted.index(name)] = probabilities[:, column]
    return out
