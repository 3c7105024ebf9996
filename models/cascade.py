"""Cascades: a student answers what it is sure of, a teacher the rest. Where "sure" begins is chosen here.

A cascade pays where the two err on different items and the student knows which of its answers are doubtful
(chow1970): then a small share passed on brings the accuracy of the larger model, or more, at nearly the price of the
smaller one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput, ModelError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

PASSED_ON = 0.13
"""Share that is passed on where nothing else is asked for: with what chance adds on other items, below 15 %."""
MIX = 0.5
"""What the teacher's probabilities weigh beside the student's on what is passed on: together they beat either."""
LEAST_LABELS = 50
"""With fewer held-out labels, a stated accuracy is read as agreement with the teacher."""
_SLACK = 1e-9


@dataclass(frozen=True)
class Threshold:
    """Where a student's sureness ends, and what was found where it was chosen.

    Attributes:
        value: The least margin between a student's two best classes with which its answer stands.
        passed_on: Share of the fresh items below it.
        fresh: How many fresh items there were.
        chosen_on: ``labels``, ``agreement`` with the teacher, or ``share``.
        items: How many items the accuracies are of: labelled ones where there are enough, else the fresh ones.
        accuracy: Of the cascade on them; against the teacher's answers where there are too few labels.
        student: Of the student alone.
        teacher: Of the teacher alone.
        measured_on: ``labels`` or ``agreement``.
    """

    value: float
    passed_on: float
    fresh: int
    chosen_on: str
    items: int
    accuracy: float
    student: float
    teacher: float
    measured_on: str

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def margins(probabilities: ArrayLike) -> FloatArray:
    """By how much the best class leads the second best, (n,), of probabilities (n, classes) (scheffer2001).

    >>> margins([[0.5, 0.25, 0.25], [0.25, 0.75, 0.0]]).tolist()
    [0.25, 0.5]
    """
    P = np.asarray(probabilities, np.float32)
    best = np.partition(P, P.shape[1] - 2, axis=1)[:, -2:]
    led: FloatArray = best[:, 1] - best[:, 0]
    return led


def cascade_answers(student: ArrayLike, teacher: ArrayLike, threshold: float) -> tuple[FloatArray, BoolArray]:
    """The probabilities of a cascade, (n, classes), and which items were passed on, (n,).

    >>> answers, passed = cascade_answers([[0.875, 0.125], [0.5, 0.5]], [[0.25, 0.75], [0.25, 0.75]], 0.5)
    >>> answers.tolist(), passed.tolist()
    ([[0.875, 0.125], [0.375, 0.625]], [False, True])
    """
    P, Q = _checked(student, teacher)
    passed = margins(P) < threshold
    return np.where(passed[:, None], (1 - MIX) * P + MIX * Q, P).astype(np.float32), passed


def choose_threshold(
    fresh_student: ArrayLike,
    fresh_teacher: ArrayLike,
    labelled: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    *,
    accuracy: float | None = None,
    share: float | None = None,
) -> Threshold:
    """Choose by how much a student's best class must lead for its answer to stand.

    With ``accuracy`` the fewest items are passed on with which the cascade is as accurate as that on the labelled
    ones; with fewer than `LEAST_LABELS` of them, gives the teacher's answer as often as that on the fresh ones.
    Otherwise the least sure ``share`` of the fresh items is passed on, `PASSED_ON` where nothing is said. What is fresh
    matters: students are surer of items that they were distilled on, and would pass on twice as many of all others.

    Args:
        fresh_student: The student's probabilities for items that it was not distilled on, (n, classes).
        fresh_teacher: The teacher's for the same.
        labelled: The student's probabilities, the teacher's and the classes, (m,), of items that neither was trained
            on; None where there are none.
        accuracy: What is to be reached, 0 … 1.
        share: What is to be passed on, 0 … 1.

    Raises:
        BadInput: Both are asked for, or shapes do not fit, or there are no items at all.
        ModelError: No share reaches the accuracy; the message says which comes nearest.
    """
    if accuracy is not None and share is not None:
        raise BadInput("Ask for an accuracy or for a share to pass on, not for both.")
    for name, asked in (("accuracy", accuracy), ("share", share)):
        if asked is not None and not 0 <= asked <= 1:
            raise BadInput(f"A cascade's {name} must lie between 0 and 1, not at {asked}.")
    P, Q = _checked(fresh_student, fresh_teacher)
    if not len(P):
        raise BadInput("A threshold is chosen on items that the student was not trained on, and there are none.")
    on_student, on_teacher, truth, measured_on = P, Q, Q.argmax(1), "agreement"
    if labelled is not None and len(np.asarray(labelled[2])) >= LEAST_LABELS:
        on_student, on_teacher = _checked(labelled[0], labelled[1])
        truth, measured_on = np.asarray(labelled[2], np.int64), "labels"
    if accuracy is None:
        value = _below(margins(P), round((PASSED_ON if share is None else share) * len(P)))
    else:
        value = _below(margins(on_student), _fewest(on_student, on_teacher, truth, accuracy))
    answers, _ = cascade_answers(on_student, on_teacher, value)
    return Threshold(
        value=value,
        passed_on=float((margins(P) < value).mean()),
        fresh=len(P),
        chosen_on="share" if accuracy is None else measured_on,
        items=len(truth),
        accuracy=_share_right(answers, truth),
        student=_share_right(on_student, truth),
        teacher=_share_right(on_teacher, truth),
        measured_on=measured_on,
    )


def _fewest(P: FloatArray, Q: FloatArray, truth: IntArray, accuracy: float) -> int:
    """How many of the least sure items to pass on so that the accuracy is reached."""
    order = np.argsort(margins(P), kind="stable")
    student, both = (answers.argmax(1)[order] == truth[order] for answers in (P, (1 - MIX) * P + MIX * Q))
    gains = np.concatenate([[0], np.cumsum(both.astype(np.int64) - student.astype(np.int64))])
    right = (student.sum() + gains) / len(truth)
    enough = np.flatnonzero(right >= accuracy - _SLACK)
    if not len(enough):
        best = int(right.argmax())
        raise ModelError(
            f"No cascade of these two reaches {accuracy:.1%}: the best has {right[best]:.1%}, with "
            f"{best / len(truth):.0%} passed on. Ask for less, or label more."
        )
    return int(enough[0])


def _below(sureness: FloatArray, count: int) -> float:
    """A threshold between the ``count`` least sure items and the others; of equally sure ones all stay or all go."""
    ordered = np.sort(sureness.astype(np.float64))
    if count <= 0:
        return 0.0
    if count >= len(ordered):
        return 2.0
    return float((ordered[count - 1] + ordered[count]) / 2)


def _share_right(probabilities: FloatArray, truth: IntArray) -> float:
    return float((probabilities.argmax(1) == truth).mean())


def _checked(student: ArrayLike, teacher: ArrayLike) -> tuple[FloatArray, FloatArray]:
    P, Q = np.asarray(student, np.float32), np.asarray(teacher, np.float32)
    if P.ndim != 2 or P.shape != Q.shape or P.shape[1] < 2:
        raise BadInput(f"Student and teacher must answer the same items, not {P.shape} and {Q.shape}.")
    return P, Q
