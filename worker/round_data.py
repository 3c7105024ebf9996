"""What goes into a round, what comes out of it, and what it may lean on. Arrays only: no database, no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.finetune.base import Base
    from models.replay import Lesson
    from models.students.student import Student
    from models.teachers import LogisticTeacher
    from models.trunks import Trunk
    from worker.finetuned import Finetuned
    from worker.llm.asking import Panel
    from worker.teaching import Taught

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]
Arrays = Mapping[str, NDArray[Any]]
RawItem = str | bytes | NDArray[np.float32]

CARRIED = ("rounds_since_cold", "cold_agreement", "cold_labels", "family_labels", "trained_labels")
"""What a round hands on to the next one beside its models, by the names of `PreviousRound`."""


def _no_rows() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class RoundData:
    """The project as it stands. Rows are row numbers of ``features``.

    Attributes:
        task: ``text``, ``image`` or ``features``.
        class_names: All classes, in the order of their indices.
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        raw: The raw items of some rows, in their order.
        labeled_rows: Shape ``(l,)``: rows to train on. A row that several people labelled may be there several times.
        y: Shape ``(l,)``: class indices.
        exploration: Shape ``(l,)``, bool: which of them were drawn uniformly.
        candidate_rows: Shape ``(m,)``: unlabelled pool rows that may be ranked.
        holdout_rows: Shape ``(h,)``: measured rows, never trained on; those of the project's own test set where it has
            one.
        holdout_y: Shape ``(h,)``: their class indices.
        holdout_is_test: Whether they are the project's own test set.
        pending_rows: Rows in somebody's hands.
        spread: The rows after they have spread over the graph of neighbours (`sampler.diffusion`), in which no measured
            row is anybody's neighbour: further views by name, each ``(n, d)``; empty to do without.
        groups: Shape ``(n,)``: a number in 0 … n - 1 that near-duplicates share and others do not; None where none are
            known.
        class_vectors: Shape ``(n_classes, d)``: the names of the classes by the encoder that ``features`` are of; None
            where it reads no texts, or where each class has labels.
        class_phrases: Gives several phrasings of each class's name by the same encoder, ``(n_classes, phrasings, d)``;
            only called by a teacher that reads them. None, or it gives None, where the encoder reads no texts.
        panel: The language model that may be asked about rows; None where there is none.
        base: The weights that a fine-tuned teacher begins from; None where the recipe's teacher is no such one.
        trunk: Reads the encoder's lower layers, for students that are cut from them; None where nobody needs them.
    """

    task: str
    class_names: tuple[str, ...]
    features: NDArray[np.floating[Any]]
    raw: Callable[[IntArray], Sequence[RawItem]]
    labeled_rows: IntArray
    y: IntArray
    exploration: BoolArray
    candidate_rows: IntArray
    holdout_rows: IntArray = field(default_factory=_no_rows)
    holdout_y: IntArray = field(default_factory=_no_rows)
    holdout_is_test: bool = False
    pending_rows: IntArray = field(default_factory=_no_rows)
    spread: Mapping[str, NDArray[np.floating[Any]]] = field(default_factory=dict)
    groups: IntArray | None = None
    class_vectors: NDArray[np.floating[Any]] | None = None
    class_phrases: Callable[[], NDArray[np.floating[Any]] | None] | None = None
    panel: Panel | None = None
    base: Base | None = None
    trunk: Callable[[], Trunk] | None = None

    @property
    def views(self) -> dict[str, NDArray[np.floating[Any]]]:
        """The rows as a teacher may see them; the last one is for when there is nothing to choose by."""
        return {"raw": self.features, **self.spread}

    @property
    def n_classes(self) -> int:
        """Number of classes of the project."""
        return len(self.class_names)


@dataclass(frozen=True)
class PreviousRound:
    """What a round leans on: the last teacher and the student that people use now.

    Attributes:
        teacher: Arrays of the last trained teacher; None to start afresh.
        student: Arrays of the current (promoted) student; None where there is none.
        student_family: Its family.
        class_names: The classes that it knew, in its order.
        rounds_since_cold: `RoundResult.carry`'s: rounds since a student was trained from scratch.
        cold_agreement: `RoundResult.carry`'s: how well that one agreed with its teacher.
        cold_labels: `RoundResult.carry`'s: how many labels it learned from.
        family_labels: `RoundResult.carry`'s: how many there were when families of students were last compared.
        trained_labels: `RoundResult.carry`'s: how many labels the last training of a student learned from.
        finetuned: Arrays of the fine-tuned teacher that was last trained; None where there is none.
        finetuned_in: The version of the student that they lie with.
    """

    teacher: Arrays | None = None
    student: Arrays | None = None
    student_family: str | None = None
    class_names: tuple[str, ...] = ()
    rounds_since_cold: int = 0
    cold_agreement: float | None = None
    cold_labels: int = 0
    family_labels: int = 0
    trained_labels: int = 0
    finetuned: Arrays | None = None
    finetuned_in: int | None = None

    def with_another_encoder(self) -> PreviousRound:
        """What of it serves a round on other features: the student. The rest was learned from the old ones."""
        # No labels at the last cold start: a student that many more labels than that are there for starts cold.
        return replace(self, teacher=None, finetuned=None, finetuned_in=None, cold_labels=0, trained_labels=0)


class Checkpoints(Protocol):
    """Where a round writes down what it has done, so that another attempt goes on from there."""

    def load(self, step: str) -> Arrays | None:
        """The arrays that an earlier attempt of the same job saved under this name, or None."""

    def save(self, step: str, arrays: Arrays) -> None:
        """Keep arrays for a later attempt. May raise to stop the round (the job was lost)."""

    def progress(self, fraction: float, message: str) -> None:
        """Say how far the round is, 0 … 1. May raise to stop it."""


class NoCheckpoints:
    """Checkpoints that keep nothing: for simulations and tests."""

    def load(self, step: str) -> Arrays | None:
        """Nothing."""
        return None

    def save(self, step: str, arrays: Arrays) -> None:
        """Does nothing."""

    def progress(self, fraction: float, message: str) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class RoundResult:
    """What a round found.

    Attributes:
        state: ``trained``, or ``no_data`` where fewer than two classes have labels; then there is a ranking by the cold
            start (or at random) and neither teacher nor student.
        reason: Why it was not trained, or why its student was promoted or held.
        promoted: Whether the new student should become the current one.
        rows: Shape ``(k,)``: the ranked rows, the best first.
        scores: Shape ``(k,)``: float64, finite, higher = sooner.
        reasons: A sentence for each.
        labels: Shape ``(k,)``: the predicted class index of each; -1 where there is no model.
        confidences: Shape ``(k,)``: its probability; 0 where there is no model.
        metrics: JSON: see `worker.measure.measured`.
        timings: Seconds of each step.
        flops: Of training, estimated.
        carry: JSON for the next round's `PreviousRound`: `CARRIED`.
        teacher: The trained head: what ranks.
        taught: What gave the soft labels; None where no student was trained by default.
        student: The trained student.
        probabilities: Shape ``(k,)``: with which each row was drawn at its place; None where the strategy draws none.
        report: JSON: see `models.reports.build_report`; None without a student.
        lesson: Gives what the student can be trained from again, in rows of this round; None without a student. It
            gives None for a student whose training took more than a lesson holds.
        cpu: CPU seconds of each step of a trained round, those of all its threads. Where the ranking went on beside the
            student, what it took is taken off the student's.
        finetuned: The fine-tuned teacher, where the recipe asks for one.
    """

    state: str
    reason: str
    promoted: bool
    rows: IntArray
    scores: FloatArray
    reasons: list[str]
    labels: IntArray
    confidences: FloatArray
    metrics: dict[str, Any]
    timings: dict[str, float]
    flops: float
    carry: dict[str, Any]
    teacher: LogisticTeacher | None = None
    taught: Taught | None = None
    student: Student | None = None
    probabilities: FloatArray | None = None
    report: dict[str, Any] | None = None
    lesson: Callable[[], Lesson | None] | None = None
    cpu: dict[str, float] = field(default_factory=dict)

    def teacher_arrays(self) -> dict[str, NDArray[Any]]:
        """What the next round goes on from: the head's arrays and the choice of what teaches; empty without a head."""
        head = {} if self.teacher is None else self.teacher.arrays()
        return head if self.taught is None else {**head, **self.taught.arrays()}

    finetuned: Finetuned | None = None
