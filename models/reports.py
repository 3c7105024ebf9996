"""What is to be said of a student: where it errs, how far its confidence holds, and what it costs beside others.

Figures only: plain values that JSON holds, as `models.plots` draws them. Under 50 measured labels nothing is
measurable, a figure for a class needs 30 labels of that class, and calibration needs 200.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput
from models.evaluate import (
    accuracy,
    brier_score,
    calibration_bins,
    class_figures,
    confusion,
    expected_calibration_error,
    log_loss,
    macro_f1,
)

LEAST_MEASURED = 50
LEAST_OF_CLASS = 30
LEAST_CALIBRATED = 200
_MOST_CONFUSED = 10


def build_report(
    class_names: Sequence[str], y: ArrayLike, probabilities: ArrayLike, *, measured_on: str = "holdout"
) -> dict[str, Any]:
    """The report of a student on labels that it was not trained on.

    Args:
        class_names: C names, in the order of the columns.
        y: Their true classes, shape (n,).
        probabilities: The student's, shape (n, C).
        measured_on: ``holdout`` or ``test``: what the labels are.

    Returns:
        ``labels``, ``measured_on``, ``classes``, ``note`` (what could not be measured, and why; else None) and, from 50
        labels on (None before): ``accuracy``, ``macro_f1``, ``log_loss`` (nats), ``brier`` (0 … 2), ``confusion``
        (C × C counts, true class by predicted), ``confused`` (the pairs most often taken for each other), ``per_class``
        and ``calibration``.

    Raises:
        BadInput: Shapes do not fit, or a class is out of range.
    """
    truth, P = np.asarray(y, np.int64), np.asarray(probabilities, np.float64)
    n = len(truth)
    if P.ndim != 2 or P.shape != (n, len(class_names)):
        raise BadInput(f"Probabilities of shape {P.shape} for {n} labels and {len(class_names)} classes.")
    report: dict[str, Any] = {"labels": n, "measured_on": measured_on, "classes": list(class_names), "note": None}
    if n < LEAST_MEASURED:
        names = ("accuracy", "macro_f1", "log_loss", "brier", "confusion", "confused", "per_class", "calibration")
        note = f"not yet measurable: {n} measured labels, {LEAST_MEASURED} are needed"
        return {**report, "note": note, **dict.fromkeys(names)}
    guessed = P.argmax(axis=1)
    table = confusion(truth, guessed, len(class_names))
    if n < LEAST_CALIBRATED:
        report["note"] = f"calibration is not yet measurable: {n} measured labels, {LEAST_CALIBRATED} are needed"
    return {
        **report,
        "accuracy": accuracy(truth, guessed),
        "macro_f1": macro_f1(truth, guessed, len(class_names)),
        "log_loss": log_loss(truth, P),
        "brier": brier_score(truth, P),
        "confusion": table.tolist(),
        "confused": _confused(table, class_names),
        "per_class": _per_class(truth, guessed, class_names),
        "calibration": calibration(truth, P),
    }


def calibration(y: ArrayLike, probabilities: ArrayLike) -> dict[str, Any] | None:
    """``{ece, bins}`` from 200 labels on (see `models.evaluate.calibration_bins`); None under that.

    Each bin is ``{low, high, labels, confidence, accuracy}``, the least sure first: smallest and largest confidence in
    it, how many labels, and the means over them.
    """
    if len(np.asarray(y)) < LEAST_CALIBRATED:
        return None
    found = calibration_bins(y, probabilities)
    columns = {
        "low": found.low,
        "high": found.high,
        "labels": found.rows,
        "confidence": found.confidence,
        "accuracy": found.accuracy,
    }
    bins = [
        dict(zip(columns, values, strict=True)) for values in zip(*(c.tolist() for c in columns.values()), strict=True)
    ]
    return {"ece": expected_calibration_error(y, probabilities), "bins": bins}


def _per_class(y: NDArray[np.int64], guessed: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    counts = np.bincount(y, minlength=len(names))
    figures = class_figures(y, guessed, len(names))
    rows = []
    for index, name in enumerate(names):
        enough = counts[index] >= LEAST_OF_CLASS
        said = [float(figure[index]) if enough and np.isfinite(figure[index]) else None for figure in figures]
        row = {"label": name, "labels": int(counts[index])}
        rows.append({**row, **dict(zip(("precision", "recall", "f1"), said, strict=True))})
    return rows


def _confused(table: NDArray[np.int64], names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent errors, the commonest first; of equal ones the first classes."""
    errors = table.copy()
    np.fill_diagonal(errors, 0)
    order = np.argsort(-errors, axis=None, kind="stable")[:_MOST_CONFUSED]
    places = [divmod(int(place), len(names)) for place in order]
    return [
        {"true": names[true], "predicted": names[guessed], "labels": int(errors[true, guessed])}
        for true, guessed in places
        if errors[true, guessed]
    ]


def build_pareto(students: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Accuracy × latency × size × energy of a project's students, and which of them no other one dominates.

    Args:
        students: ``version``, ``accuracy`` (``{value, low, high, labels}`` or None), ``p50_ms``, ``bytes`` and
            ``watt_hours`` (of its training; each of the last three may be None).

    Returns:
        ``points``: those with an accuracy and a latency, each with ``on_front``; ``left_out``: versions of the others.
        A student is on the front where no other is at least as accurate, as fast, as small and as cheap to train, and
        better in one of them. What is not known of a student counts as the worst.
    """
    usable = [dict(one) for one in students if one.get("accuracy") and one.get("p50_ms") is not None]
    chosen = {one["version"] for one in usable}
    goals = np.array([_goals(one) for one in usable]).reshape(len(usable), 4)
    for index, one in enumerate(usable):
        no_worse = (goals <= goals[index]).all(axis=1)
        better = (goals < goals[index]).any(axis=1)
        one["on_front"] = not bool((no_worse & better).any())
    return {"points": usable, "left_out": [one["version"] for one in students if one["version"] not in chosen]}


def _goals(one: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """What a student is to have little of."""
    known = [math.inf if one.get(name) is None else float(one[name]) for name in ("p50_ms", "bytes", "watt_hours")]
    return -float(one["accuracy"]["value"]), known[0], known[1], known[2]
