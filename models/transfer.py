"""What a student is to match, made of more than one teacher: averages, neighbours, middle students, earlier versions.

Pure functions of probabilities; `models.distill` trains on what they give. What pays is measured in
docs/distillation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.distill import Distilled, distil
from models.errors import BadInput
from models.evaluate import PROBABILITY_FLOOR
from models.students.protocol import RawItem

_EM_STEPS = 200


def mix_teachers(probabilities: Sequence[ArrayLike], weights: ArrayLike | None = None) -> NDArray[np.float64]:
    """The weighted mean of several teachers' probabilities, each (n, C); rows sum to 1.

    Raises:
        BadInput: No teachers, shapes that differ, or weights that are not one each, none negative, some positive.

    >>> mix_teachers([[[.8, .2]], [[.4, .6]]], [3, 1]).round(2).tolist()
    [[0.7, 0.3]]
    """
    stacked = _stacked(probabilities)
    share = np.ones(len(stacked)) if weights is None else np.asarray(weights, np.float64)
    if share.shape != (len(stacked),) or not np.isfinite(share).all() or (share < 0).any() or share.sum() <= 0:
        raise BadInput(f"{len(stacked)} teachers need a weight each, none negative and one above zero.")
    mixed: NDArray[np.float64] = np.tensordot(share / share.sum(), stacked, axes=1)
    return mixed


def fit_teacher_weights(probabilities: Sequence[ArrayLike], y: ArrayLike) -> NDArray[np.float64]:
    """The weights, (teachers,), with sum 1, whose mean gives the smallest log-loss on labels.

    The teachers must not have been trained on those: use cross-fitted probabilities, (n, C) each. The loss is convex;
    expectation-maximisation goes down at every step (dempster1977).

    Raises:
        BadInput: As in `mix_teachers`; no labels, or shapes that do not fit.

    >>> fit_teacher_weights([[[.9, .1], [.1, .9]], [[.5, .5], [.5, .5]]], [0, 1]).round(3).tolist()
    [1.0, 0.0]
    """
    stacked = _stacked(probabilities)
    truth = np.asarray(y, np.int64)
    if truth.shape != (stacked.shape[1],) or not len(truth):
        raise BadInput(f"Labels of shape {truth.shape} for probabilities of {stacked.shape[1]} rows.")
    if truth.min() < 0 or truth.max() >= stacked.shape[2]:
        raise BadInput(f"Labels must be class indices from 0 to {stacked.shape[2] - 1}.")
    picked = np.maximum(stacked[:, np.arange(len(truth)), truth], PROBABILITY_FLOOR)
    weights = np.full(len(stacked), 1.0 / len(stacked))
    for _ in range(_EM_STEPS):
        owed = weights[:, None] * picked
        weights = (owed / owed.sum(axis=0)).mean(axis=1)
    return weights


def propagate(
    probabilities: ArrayLike, neighbours: ArrayLike, share: float = 0.5, steps: int = 3
) -> NDArray[np.float64]:
    """Soft labels after they have spread over a graph: each a mean of itself and of its neighbours' (zhou2003).

    Args:
        probabilities: Shape (n, C).
        neighbours: Row numbers of each row's nearest, (n, k).
        share: Of what comes from the neighbours, 0 … 1.
        steps: How far it spreads.

    Raises:
        BadInput: Shapes that do not fit, a row number that is none, or a share that is none.

    >>> propagate([[1, 0], [0, 1]], [[1], [0]], share=0.25, steps=1).tolist()
    [[0.75, 0.25], [0.25, 0.75]]
    """
    P, near = np.asarray(probabilities, np.float64), np.asarray(neighbours, np.int64)
    if P.ndim != 2 or near.ndim != 2 or len(near) != len(P) or near.shape[1] < 1:
        raise BadInput(f"Neighbours must be (n, k) for n rows of probabilities, not {near.shape} for {P.shape}.")
    if len(near) and not (near.min() >= 0 and near.max() < len(P)):
        raise BadInput(f"Neighbours must be row numbers from 0 to {len(P) - 1}.")
    if not 0 <= share <= 1 or steps < 0:
        raise BadInput(f"The neighbours' share must lie in 0 … 1 and steps be 0 or more, not {share} and {steps}.")
    spread = P
    for _ in range(steps):
        met = sum(spread[near[:, k]] for k in range(near.shape[1])) / near.shape[1]
        spread = (1 - share) * P + share * met
    return spread


@dataclass(frozen=True)
class Stage:
    """One student of a chain.

    Attributes:
        family: Of students.
        teacher_share: What the first teacher counts in what this student learns from; the rest is the student before.
        options: Further arguments of `models.distill.distil`.
    """

    family: str
    teacher_share: float = 0.5
    options: dict[str, Any] = field(default_factory=dict)


def distil_chain(
    stages: Sequence[Stage],
    items: Sequence[RawItem],
    soft: ArrayLike,
    labeled_items: Sequence[RawItem],
    y: ArrayLike,
    *,
    class_names: Sequence[str],
    rng: np.random.Generator,
) -> list[Distilled]:
    """A teacher teaches a middle student, that one (and the teacher, by its share) the next, and so on.

    Middle students stand between a strong teacher and a small one (mirzadeh2020); a chain of one family is a second
    generation that learns from the first (furlanello2018).

    Args:
        stages: In order; the first learns from the teacher alone.
        items: As in `models.distill.distil`, like the others.
        soft: The teacher's probabilities, (n, C).
        labeled_items: Items with labels.
        y: Their class indices.
        class_names: In the order of the columns.
        rng: Each stage gets a generator spawned from it.

    Returns:
        The student of each stage, the last one last.

    Raises:
        BadInput: No stages, a share outside of 0 … 1, or what `distil` refuses.
    """
    if not stages or not all(0 <= stage.teacher_share <= 1 for stage in stages):
        raise BadInput("A chain needs a stage, and each a teacher's share of 0 … 1.")
    target = np.asarray(soft, np.float64)
    made: list[Distilled] = []
    for stage, own in zip(stages, rng.spawn(len(stages)), strict=True):
        if made and stage.teacher_share < 1 and len(items):
            before = made[-1].student.predict_proba(items)
            target = mix_teachers([soft, before], [stage.teacher_share, 1 - stage.teacher_share])
        made.append(
            distil(stage.family, items, target, labeled_items, y, class_names=class_names, rng=own, **stage.options)
        )
    return made


def _stacked(probabilities: Sequence[ArrayLike]) -> NDArray[np.float64]:
    parts = [np.asarray(part, np.float64) for part in probabilities]
    if not parts or parts[0].ndim != 2 or any(part.shape != parts[0].shape for part in parts):
        raise BadInput(f"Teachers' probabilities must be (n, C) all alike, not {[part.shape for part in parts]}.")
    return np.stack(parts)
