"""What is saved, and by what: the arms of a simulation against one another, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.curves import first_reaches

FloatArray = NDArray[np.float64]
Runs = Sequence[dict[str, Any]]

SHARES = ("0.95", "0.98")
COMPARISONS = {
    "total": ("strategy", "random_raw"),
    "selection": ("strategy", "random_same"),
    "semi_supervision": ("random_same", "random_raw"),
}
"""Each saving: which arm saves, and against which."""
MODELS = {"teacher": "accuracy", "student": "student_accuracy"}
"""Whose curve, and under which key a run has it."""
_BOUNDS = {(False, False): None, (False, True): "at_least", (True, False): "at_most", (True, True): "unknown"}
"""What a saving is, by whether the arm and the one that it is compared with did not get to the threshold."""
_DRAWS = 5_000
_MISS = 0.025  # on either side of a 95 % interval


@dataclass(frozen=True)
class Arm:
    """One way to buy labels.

    Attributes:
        strategy: Name of a query strategy.
        features: ``raw``, or ``same`` as the strategy's: with semi-supervised features and extras.
        runs: One for each seed, in the order of the seeds; all arms have the same seeds and steps.
    """

    strategy: str
    features: str
    runs: Runs

    def to_dict(self) -> dict[str, Any]:
        """As the output shows a baseline."""
        return {"strategy": self.strategy, "features": self.features, "seeds": self.runs}


def arms_and_savings(
    arms: Mapping[str, Arm], full: float, rng: np.random.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What each arm needs and each comparison saves, for the teacher and for the student.

    Both are held to the same thresholds, shares of ``full``. Intervals are 95 % and over seeds: seeds are drawn again
    with replacement, the same ones in all arms, and every figure is worked out anew from the mean curves of the draw;
    the quantiles are those of the expanded percentile interval (hesterberg2015), as plain ones are too narrow for a
    handful of seeds. A curve that does not get to a threshold needs more than the last label bought: what follows is a
    bound, and an end of an interval that hangs on it is open (None). A single seed has no interval.

    Args:
        arms: By the names in `COMPARISONS`; one that was not run is left out.
        full: Accuracy with all labels.
        rng: Draws the seeds.

    Returns:
        The values of ``arms`` and of ``savings`` in the output of ``winnow simulate``; a saving whose arms were not
        both run, and a student that was not trained, are None.
    """
    weights = seed_weights(len(next(iter(arms.values())).runs), rng)
    drawn = {
        (name, model): None if arm.runs[0][key] is None else _Drawn.of(arm.runs, key, weights)
        for name, arm in arms.items()
        for model, key in MODELS.items()
    }
    summaries: dict[str, Any] = {}
    for name, arm in arms.items():
        curves = {model: drawn[name, model] for model in MODELS}
        needs = {model: None if own is None else _needs(own, full) for model, own in curves.items()}
        summaries[name] = {"strategy": arm.strategy, "features": arm.features, **needs}
    savings: dict[str, Any] = {}
    for name, (of, against) in COMPARISONS.items():
        savings[name] = None
        if of in arms and against in arms:
            savings[name] = {"of": of, "against": against}
            for model in MODELS:
                mine, other = drawn[of, model], drawn[against, model]
                savings[name][model] = None if mine is None or other is None else _saving(mine, other, full)
    return summaries, savings


def seed_weights(n: int, rng: np.random.Generator) -> FloatArray:
    """How much each of ``n`` seeds counts: all alike in the first row, as drawn with replacement in the others.

    Shape ``(1 + draws, n)``, rows sum to 1; of a single seed there is nothing to draw.
    """
    draws = rng.integers(n, size=(_DRAWS if n > 1 else 0, n))
    counts = (draws[:, :, None] == np.arange(n)).sum(axis=1)
    return np.concatenate([np.ones((1, n)), counts]) / n


@dataclass(frozen=True)
class _Drawn:
    """Mean curves, (1 + draws, steps): over all seeds, then over each draw of them."""

    labels: list[int]
    curves: FloatArray
    n_seeds: int

    @classmethod
    def of(cls, runs: Runs, key: str, weights: FloatArray) -> _Drawn:
        accuracy = np.array([run[key] for run in runs], dtype=np.float64)
        return cls(list(runs[0]["labels"]), weights @ accuracy, len(runs))

    def reached(self, threshold: float) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Labels to a threshold, the last label bought where it is not reached; and where it is not."""
        reached = first_reaches(self.labels, self.curves, threshold)
        open_ = np.isnan(reached)
        return np.where(open_, float(self.labels[-1]), reached), open_

    def area(self) -> FloatArray:
        """Mean over the steps, of each curve."""
        return np.asarray(self.curves.mean(axis=1))


def _needs(arm: _Drawn, full: float) -> dict[str, Any]:
    """Labels to each threshold and the area, of one arm."""
    area = arm.area()
    needs: dict[str, Any] = {"labels_to": {}, "area": {"value": _rounded(area[0]), **_interval(area, area, arm)}}
    for share in SHARES:
        labels, open_ = arm.reached(float(share) * full)
        needs["labels_to"][share] = {
            "labels": None if open_[0] else _rounded(labels[0]),
            **_interval(labels, np.where(open_, np.inf, labels), arm),
        }
    return needs


def _saving(mine: _Drawn, other: _Drawn, full: float) -> dict[str, Any]:
    """What one arm saves against another: a share of the other's labels, and the difference of the areas."""
    gain = mine.area() - other.area()
    saving: dict[str, Any] = {}
    for share in SHARES:
        labels, open_ = mine.reached(float(share) * full)
        reference, endless = other.reached(float(share) * full)
        saved = 1.0 - labels / reference
        bound = _BOUNDS[bool(open_[0]), bool(endless[0])]
        saving[share] = {
            "saved": None if bound == "unknown" else _rounded(saved[0]),
            "bound": bound,
            **_interval(np.where(open_, -np.inf, saved), np.where(endless, np.inf, saved), mine),
        }
    return {**saving, "area": {"gain": _rounded(gain[0]), **_interval(gain, gain, mine)}}


def _interval(least: FloatArray, most: FloatArray, arm: _Drawn) -> dict[str, float | None]:
    """The ends, from the least and the most that a figure may be in each draw; what is not finite is open."""
    if arm.n_seeds < 2:
        return {"low": None, "high": None}
    from scipy.stats import norm, t

    n = arm.n_seeds
    miss = float(norm.cdf(np.sqrt(n / (n - 1)) * t.ppf(_MISS, n - 1)))
    at = int(miss * (len(least) - 2))
    return {"low": _rounded(np.sort(least[1:])[at]), "high": _rounded(np.sort(most[1:])[-1 - at])}


def _rounded(value: float | np.floating[Any]) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
