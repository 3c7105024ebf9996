"""A cold student beside a warm one: when the two may have parted, how one is trained, and whether it is better.

A warm student goes on from the last one, which is cheap, and may drift from its teacher. Far apart, a round trains a
cold one by itself (`worker.students`); what is told here is for differences too small to hold a round up for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.threads import single_thread
from worker.evidence import Comparison, Decision
from worker.finetuned import METHODS
from worker.llm.asking import PREFIX
from worker.measure import measured
from worker.recipe import Recipe
from worker.round_data import Arrays, NoCheckpoints, PreviousRound, RoundData, RoundResult
from worker.settling import settled
from worker.students import StudentStep
from worker.teaching import TeachingStep

LEAST_ROWS = 30
"""A test on fewer rows says nothing: its standard error is itself a guess."""
REGROWTH = 1.15
"""By how much labels must have grown before a cold student is tried again."""


def parted(metrics: Mapping[str, Any], carry: Mapping[str, Any], tried_at: int = 0) -> str | None:
    """Why a warm student may have parted from its teacher; None where nothing says so, or it is not warm.

    Args:
        metrics: Of the round that trained it.
        carry: What the round leaves to the next one.
        tried_at: With how many labels a cold student was last tried beside a warm one; 0 for never.

    >>> parted({"cold": False, "agreement": 0.9, "agreement_rows": 400, "labels": 104},
    ...        {"cold_agreement": 0.95, "cold_labels": 100})
    'it agrees with its teacher on 90.0%, the last student that started afresh on 95.0% (standard error 1.9%)'
    """
    if metrics.get("cold") is not False or (metrics.get("distillation") or {}).get("kept"):
        return None
    labels = int(metrics["labels"])
    if labels < REGROWTH * tried_at:
        return None
    now, then, n = metrics.get("agreement"), carry.get("cold_agreement"), int(metrics.get("agreement_rows") or 0)
    if now is not None and then is not None and n:
        error = math.sqrt((now * (1 - now) + then * (1 - then)) / n)
        if then - now > error:
            return (
                f"it agrees with its teacher on {now:.1%}, the last student that started afresh on {then:.1%} "
                f"(standard error {error:.1%})"
            )
    return None


def is_quick(family: str, teacher: str) -> bool:
    """Whether a cold student of the family, taught by that teacher, can be had in seconds and asks nobody."""
    from models.students import network_class

    return network_class(family).growth <= 1 and teacher not in METHODS and not teacher.startswith(PREFIX)


@dataclass(frozen=True)
class Verdict:
    """Whether the cold student is better; ``gains`` has each test's mean paired difference and its standard error."""

    better: bool
    why: str
    gains: dict[str, dict[str, float]]


def judge(comparison: Comparison | None) -> Verdict:
    """Better is what gains more than a standard error in one test, and loses as much in none.

    The tests are paired by rows: right on the measured labels, agreement with the teacher on random items of the pool,
    and log-loss on the exploration labels. Those on fewer than `LEAST_ROWS` rows are left out.
    """
    if comparison is None:
        return Verdict(False, "there is nothing to compare it with", {})
    c = comparison
    pairs = {
        "measured": _difference(c.new_right, c.old_right),
        "agreement": _difference(c.new_agrees, c.old_agrees),
        "exploration": _difference(c.old_losses, c.new_losses),
    }
    gains = {name: _gain(d) for name, d in pairs.items() if d is not None}
    won = [name for name, gain in gains.items() if gain["mean"] > gain["error"]]
    lost = [name for name, gain in gains.items() if gain["mean"] < -gain["error"]]
    better = bool(won) and not lost
    said = ", ".join(f"{name} {gain['mean']:+.3f} ± {gain['error']:.3f}" for name, gain in gains.items())
    why = f"{'better' if better else 'not better'} than the warm one ({said or 'not measured'})"
    return Verdict(better, why, gains)


def _difference(more: NDArray[Any] | None, less: NDArray[Any] | None) -> NDArray[np.float64] | None:
    if more is None or less is None or len(more) < LEAST_ROWS:
        return None
    return np.asarray(more, np.float64) - np.asarray(less, np.float64)


def _gain(differences: NDArray[np.float64]) -> dict[str, float]:
    error = differences.std(ddof=1) / math.sqrt(len(differences))
    return {"mean": round(float(differences.mean()), 6), "error": round(float(error), 6), "rows": len(differences)}


@dataclass(frozen=True)
class Retrained:
    """A cold student with what was found of it: ``result`` is as a round's, without a ranking."""

    result: RoundResult
    verdict: Verdict


def retrain(
    data: RoundData,
    recipe: Recipe,
    current: PreviousRound,
    teacher: Arrays,
    metrics: Mapping[str, Any],
    pause: Callable[[], None],
) -> Retrained:
    """Train a cold student on what a round knew, and compare it with the warm one on the same rows.

    Args:
        data: What the round knew.
        recipe: The round's.
        current: The round's warm student, and what the round left to the next one.
        teacher: The arrays that the round kept of its teacher.
        metrics: The round's.
        pause: Is called between the steps; may raise to stop.

    Raises:
        SamplerError, ModelError: Data that cannot be used.
    """
    from models.teachers import LogisticTeacher

    # The round's own seeds, drawn as it draws them, and one more for the student.
    teacher_seed, _, _, student_seed = np.random.default_rng(recipe.seed).integers(1 << 62, size=4).tolist()
    recipe = replace(recipe, student=str(current.student_family))
    head = LogisticTeacher.from_arrays(teacher)
    with single_thread():
        data = settled(data)
        taught = TeachingStep(data, recipe, teacher, head, teacher_seed).run(NoCheckpoints())
        pause()
        made = StudentStep(data, recipe, None, head, taught.predict_proba)
        distillate = made.train(np.random.default_rng(student_seed))
        pause()
        trained = StudentStep(data, recipe, current, head, taught.predict_proba).decide(distillate)
        verdict = _unharmed(judge(trained.comparison), trained.decision)
        shown = measured(data.holdout_y, trained.on_holdout)
    result = RoundResult(
        state="trained",
        reason=f"trained afresh in the background: {verdict.why}",
        promoted=verdict.better,
        rows=np.empty(0, np.int64),
        scores=np.empty(0),
        reasons=[],
        labels=np.empty(0, np.int64),
        confidences=np.empty(0),
        metrics=_shown({**metrics, **trained.metrics}, shown),
        timings={},
        flops=distillate.flops,
        # When families are compared again is the round's business: here there was one.
        carry={**trained.carry, "family_labels": current.family_labels},
        teacher=head,
        taught=taught,
        student=trained.student,
        report=trained.report,
        lesson=lambda: made.lesson(distillate, student_seed),
    )
    return Retrained(result, verdict)


def _shown(metrics: dict[str, Any], student: Mapping[str, Any] | None) -> dict[str, Any]:
    """A round's metrics with what the holdout says of the student; None where nothing was measured."""
    metrics = {**metrics, "student": student}
    if student is not None:
        metrics["accuracy"] = {key: student[key] for key in ("value", "low", "high", "labels")}
    return metrics


def _unharmed(verdict: Verdict, decision: Decision) -> Verdict:
    return verdict if decision.promoted else replace(verdict, better=False, why=decision.reason)
