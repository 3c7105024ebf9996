"""Learning curves of several seeds: where they cross a threshold, and the area under them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def mean_curve(runs: Sequence[dict[str, Any]]) -> tuple[list[int], NDArray[np.float64]]:
    """Labels bought at each step, and the mean accuracy over the seeds there; runs have the same steps."""
    return list(runs[0]["labels"]), np.mean([run["accuracy"] for run in runs], axis=0)


def first_reach(labels: Sequence[int], curve: NDArray[np.float64], threshold: float) -> float | None:
    """Labels at which a curve first crosses a threshold and the next step stays above; None where it does not.

    Interpolated between the step before and the one that is above. A curve that is above at its first step reached it
    there. At the last step there is no next one to fall back at: it counts.

    >>> first_reach([10, 20, 30], np.array([0.5, 0.7, 0.8]), 0.6)
    15.0
    >>> first_reach([10, 20, 30, 40], np.array([0.5, 0.7, 0.5, 0.8]), 0.6)
    33.33
    """
    reached = float(first_reaches(labels, np.asarray(curve)[None, :], threshold)[0])
    return None if np.isnan(reached) else round(reached, 2)


def first_reaches(labels: Sequence[int], curves: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """`first_reach` of many curves at once, not rounded.

    Args:
        labels: Labels bought at each of s steps.
        curves: Shape ``(n, s)``, s ≥ 1.
        threshold: What is to be reached.

    Returns:
        Shape ``(n,)``: labels, NaN for a curve that does not get there.
    """
    steps = np.asarray(labels, dtype=np.float64)
    above = curves >= threshold
    stays = above & np.concatenate([above[:, 1:], np.ones((len(curves), 1), dtype=bool)], axis=1)
    at = stays.argmax(axis=1)
    rows, before = np.arange(len(curves)), np.maximum(at - 1, 0)
    low, high = curves[rows, before], curves[rows, at]
    rise = high - low
    share = np.clip(np.divide(threshold - low, rise, out=np.ones(len(curves)), where=rise != 0), 0.0, 1.0)
    reached = steps[before] + share * (steps[at] - steps[before])
    return np.where(stays.any(axis=1), reached, np.nan)


def labels_to(
    share: float, full: float, strategy: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]] | None
) -> dict[str, Any]:
    """Labels to ``share`` of the accuracy that all labels give, and what the strategy saves beside the baseline.

    Where one of the two does not get there, ``saved`` is a bound from the last label bought (``censored``): at least
    that much where the baseline does not, at most that much where the strategy does not; null where neither does.
    """
    threshold = share * full
    labels, curve = mean_curve(strategy)
    reached = first_reach(labels, curve, threshold)
    if baseline is None:
        return {
            "threshold": threshold, "strategy": reached, "baseline": None, "saved": None, "censored": reached is None,
        }  # fmt: skip
    baseline_labels, baseline_curve = mean_curve(baseline)
    baseline_reached = first_reach(baseline_labels, baseline_curve, threshold)
    saved: float | None = None
    if reached is not None or baseline_reached is not None:
        mine = reached if reached is not None else float(labels[-1])
        other = baseline_reached if baseline_reached is not None else float(baseline_labels[-1])
        saved = round(1.0 - mine / other, 4)
    return {
        "threshold": threshold,
        "strategy": reached,
        "baseline": baseline_reached,
        "saved": saved,
        "censored": reached is None or baseline_reached is None,
    }


def area_under(runs: Sequence[dict[str, Any]]) -> float:
    """Mean over the steps of the mean curve."""
    return float(mean_curve(runs)[1].mean())
