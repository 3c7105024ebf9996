"""Whether new items differ from the pool as the student sees them, and how: an honest test, and intervals.

**Whether**: the energy distance (szekely2013) between the student's probabilities on both samples, against what it is
when the items are dealt to the two samples at random. And whether more of the new items are unlike the pool than of the
pool itself (`predictor.collect.novelty`), which probabilities cannot show: a student can be sure of what it has never
seen. Each at half of 1 %, for it is asked again with each student.

**How**: differences of the predicted shares of classes, of the confidence and of the novel share, with 95 % intervals,
those of the classes at once (Bonferroni); shares by Agresti and Caffo's adjusted interval (agresti2000), which holds
near 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

FloatArray = NDArray[np.floating[Any]]

SIGNIFICANT = 0.01
DEALS = 999
MOST_COMPARED = 1_000
"""Rows of each sample in the test; the intervals use all."""


@dataclass(frozen=True)
class Seen:
    """A sample as the student sees it: probabilities ``(n, classes)``, and novelty ``(n,)``."""

    probabilities: FloatArray
    novelty: FloatArray


def compare(pool: Seen, new: Seen, class_names: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """``{p_value, drifted, classes, confidence, novelty}``: see the module.

    Args:
        pool: Items of the pool that no student was trained on, if possible.
        new: The new items.
        class_names: In the order of the probabilities' columns.
        rng: Deals the rows.

    Raises:
        ValueError: a sample has fewer than two rows.
    """
    if min(len(pool.novelty), len(new.novelty)) < 2:
        raise ValueError("two items of each sample at least are needed")
    p_value = energy_test(pool.probabilities, new.probabilities, rng)
    z_all = float(norm.ppf(1 - 0.025 / len(class_names)))
    best_pool, best_new = pool.probabilities.argmax(1), new.probabilities.argmax(1)
    classes = {name: _shares(best_pool == index, best_new == index, z_all) for index, name in enumerate(class_names)}
    unlike = pool.novelty > 1, new.novelty > 1
    surely_novel = _shares(*unlike, float(norm.ppf(1 - SIGNIFICANT / 2)))["low"] > 0
    return {
        "p_value": p_value,
        "drifted": bool(p_value <= SIGNIFICANT / 2 or surely_novel),
        "classes": classes,
        "confidence": _means(pool.probabilities.max(1), new.probabilities.max(1)),
        "novelty": _shares(*unlike, float(norm.ppf(0.975))),
    }


def energy_test(first: FloatArray, second: FloatArray, rng: np.random.Generator) -> float:
    """The p-value of "both samples are of one distribution": rows are dealt anew 999 times.

    >>> rng = np.random.default_rng(0)
    >>> energy_test(np.zeros((20, 1)), np.ones((20, 1)), rng)
    0.001
    """
    samples = [rows[rng.permutation(len(rows))[:MOST_COMPARED]].astype(np.float32) for rows in (first, second)]
    both = np.concatenate(samples)
    n, m = len(samples[0]), len(samples[1])
    squares = (both**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0.0))
    # With a weight of 1/n for the first sample and -1/m for the second, the energy distance is minus a quadratic form.
    weights = np.concatenate([np.full(n, 1.0 / n), np.full(m, -1.0 / m)]).astype(np.float32)
    dealt = np.stack([weights, *(rng.permutation(weights) for _ in range(DEALS))], axis=1)
    energies = -(dealt * (distances @ dealt)).sum(axis=0, dtype=np.float64)
    return float((1 + int((energies[1:] >= energies[0] - 1e-9).sum())) / (DEALS + 1))


def _shares(pool: NDArray[np.bool_], new: NDArray[np.bool_], z: float) -> dict[str, float]:
    adjusted = [(int(rows.sum()) + 1) / (len(rows) + 2) for rows in (pool, new)]
    spread = z * np.sqrt(sum(p * (1 - p) / (len(rows) + 2) for p, rows in zip(adjusted, (pool, new), strict=True)))
    return _difference(float(pool.mean()), float(new.mean()), adjusted[1] - adjusted[0], float(spread))


def _means(pool: FloatArray, new: FloatArray) -> dict[str, float]:
    spread = 1.96 * np.sqrt(pool.var(ddof=1) / len(pool) + new.var(ddof=1) / len(new))
    middle = float(new.mean() - pool.mean())
    return _difference(float(pool.mean()), float(new.mean()), middle, float(spread))


def _difference(pool: float, new: float, middle: float, spread: float) -> dict[str, float]:
    values = {"pool": pool, "new": new, "low": middle - spread, "high": middle + spread}
    return {name: round(value, 6) for name, value in values.items()}


def in_words(found: dict[str, Any], items: int, version: int) -> str:
    """The result of `compare` for people."""
    what = f"the {items:,} newest items"
    if not found["drifted"]:
        return f"Student v{version} sees no difference between {what} and the pool (p = {found['p_value']:.2g})."
    said = []
    moved = {name: d for name, d in found["classes"].items() if d["low"] > 0 or d["high"] < 0}
    for name, d in sorted(moved.items(), key=lambda entry: -abs(entry[1]["new"] - entry[1]["pool"]))[:3]:
        said.append(f"{_percent(d['new'])} of them are “{name}” by the student, {_percent(d['pool'])} of the pool")
    d = found["confidence"]
    if d["low"] > 0 or d["high"] < 0:
        said.append(f"its mean confidence is {_percent(d['new'])}, {_percent(d['pool'])} on the pool")
    d = found["novelty"]
    if d["low"] > 0:
        said.append(f"{_percent(d['new'])} are unlike nearly all of the pool, of the pool itself {_percent(d['pool'])}")
    why = "; ".join(said) or "in a mixture of small ways"
    return (
        f"{what[0].upper()}{what[1:]} differ from the pool: {why}. Label some of them, so that the student learns them."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
