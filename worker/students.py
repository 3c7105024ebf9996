"""The student's part of a round: distil it, compare it with the current one, decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sampler.batch import tie_keys
from worker.evidence import Comparison, Decision, decide_promotion
from worker.measure import in_order_of, right_rows
from worker.recipe import Recipe
from worker.round_data import CARRIED, FloatArray, IntArray, PreviousRound, RoundData
from worker.side_by_side import side_by_side
from worker.student_choice import CHOICE_REGROWTH, Candidate, choose_student

if TYPE_CHECKING:
    from models.replay import Lesson
    from models.students.protocol import Network
    from models.students.student import Student
    from models.teachers import LogisticTeacher

_PARTED = 0.02
"""A warm student that agrees with its teacher by this much less than the last cold one did is trained afresh."""
_REGROWTH = 1.3
"""When labels have grown by this since the last cold start the teacher is another one: a short warm one lags behind."""
_LEAST_EXPLORED, _MOST_CALIBRATION = 30, 200
"""From so many explored labels on half of them, but no more than so many, say how sure the student may be, and teach it
nothing: on real sets that cost little accuracy and halved the error of its probabilities (docs/distillation.md)."""
_LEAST_APART = 500  # in a smaller pool the rows of the comparison are learned from too


WARM, COLD = 1, 2


@dataclass(frozen=True)
class Taught:
    """What a student was taught, as far as the round does not say it anyway; JSON.

    Attributes:
        rows: Rows of the transfer set.
        place: Which child of the student's generator was used: `WARM` or `COLD`.
        start_sha256: Of the weights that it set out from, or None.
        items_sha256: Digests of the transfer set and of the labelled items.
        options: Further keyword arguments of `models.distill.distil`.
    """

    rows: list[int]
    place: int
    start_sha256: str | None
    items_sha256: tuple[str, str]
    options: dict[str, Any]


@dataclass(frozen=True)
class Distillate:
    """A student as training left it."""

    student: Student
    cold: bool
    n_transfer: int
    flops: float
    report: dict[str, Any]
    taught: Taught | None = None
    """None where nothing was trained."""
    choice: dict[str, Any] | None = None
    """Where families were compared: `StudentChoice.to_dict`."""

    @property
    def kept(self) -> bool:
        """Whether it is the current student, and nothing was trained."""
        return bool(self.report.get("kept"))

    def notes(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the arrays; JSON."""
        return {
            "family": self.student.family,
            "cold": self.cold,
            "n_transfer": self.n_transfer,
            "flops": self.flops,
            "report": self.report,
            "taught": dict(vars(self.taught)) if self.taught else None,
            "choice": self.choice,
        }


@dataclass(frozen=True)
class Trained:
    """A student, what was found of it, and what is to become of it.

    Attributes:
        student: The trained student.
        on_holdout: Its probabilities on the measured rows, shape ``(h, n_classes)``.
        decision: Promoted or held, and why.
        metrics: JSON, to be shown with the round's.
        carry: JSON for the next round.
        probabilities: Its probabilities for any rows.
        report: JSON: see `models.reports.build_report`.
    """

    student: Student
    on_holdout: FloatArray
    decision: Decision
    metrics: dict[str, Any]
    carry: dict[str, Any]
    probabilities: Callable[[IntArray], FloatArray]
    report: dict[str, Any]
    comparison: Comparison | None = None
    """With the current student; None where there is none, or it is the same."""


def _stays(report: Mapping[str, Any]) -> Decision:
    n, due = report["trained_labels"], report["again_at"]
    return Decision(
        True,
        f"the student stays as {n} labels made it and was only measured anew: training this family takes minutes, so "
        f"it is trained again at {due} labels, or when a round is asked for",
    )


def import_for_training(task: str, recipe: Recipe) -> None:
    """Import what training teachers and students needs, before there are threads.

    Of two threads that import at once, one may meet a module half made.
    """
    import models.distill
    import models.lexical
    import models.replay
    import models.stack  # noqa: F401
    from models.students import network_class

    for family in _families(task, recipe):
        network_class(family)


def _families(task: str, recipe: Recipe) -> tuple[str, ...]:
    """The families of students that a recipe trains or chooses among."""
    from models.students import FAMILIES_OF_TASK, make_family

    return tuple(FAMILIES_OF_TASK[task]) if recipe.student == "auto" else (make_family(task, recipe.student),)


class StudentStep:
    """Distils and judges one student. ``data`` holds settled labels and the candidates that are left."""

    def __init__(
        self,
        data: RoundData,
        recipe: Recipe,
        previous: PreviousRound | None,
        teacher: LogisticTeacher,
        soft: Callable[[IntArray], FloatArray],
    ):
        from models.students import make_family

        self._data = data
        self._recipe = recipe
        self._previous = previous
        self._teacher = teacher
        self._soft = soft
        self._told: tuple[IntArray, FloatArray] | None = None
        self._asking = Lock()
        self._family = make_family(data.task, recipe.student)
        self._families = _families(data.task, recipe)
        if previous is not None and previous.student_family in self._families:
            self._family = previous.student_family

    @property
    def _kind(self) -> type[Network]:
        from models.students import network_class

        return network_class(self._family)

    # --- training --------------------------------------------------------------------------------------------------

    def train(self, rng: np.random.Generator) -> Distillate:
        """Distil: warm from the current student where one is at hand and it is not time for a cold start.

        A family whose training takes minutes keeps its current student until labels have grown enough.
        """
        kept = self._kept()
        if kept is not None:
            return kept
        warm_from = self._warm_start()
        transfer_rng, warm_rng, cold_rng = rng.spawn(3)
        if warm_from is not None:
            warm = self._distil(self._family, warm_from, self._recipe.warm_transfer_size, transfer_rng, warm_rng)
            reference = self._previous.cold_agreement if self._previous else None
            if warm.cold or reference is None:
                return warm
            agreement = float(self._agrees(self._predict(warm.student, self._compared)).mean())
            if agreement >= reference - _PARTED:
                return warm
        return self._cold(transfer_rng, cold_rng)

    def _cold(self, transfer_rng: np.random.Generator, rng: np.random.Generator) -> Distillate:
        """A student from nothing; of each family where it is time to choose among them."""
        size = self._recipe.transfer_size
        if len(self._families) == 1 or not self._choice_due():
            return self._distil(self._family, None, size, transfer_rng, rng)
        import_for_training(self._data.task, self._recipe)

        def distil(family: str) -> Distillate:  # all learn from the same rows, with the same draws
            return self._distil(family, None, size, deepcopy(transfer_rng), deepcopy(rng))

        made = side_by_side([partial(distil, family) for family in self._families])
        candidates = [self._candidate(distillate) for distillate in made]
        choice = choose_student(candidates, most_mb=self._recipe.student_mb, most_ms=self._recipe.student_ms)
        self._family = choice.family
        [chosen] = [distillate for distillate in made if distillate.student.family == choice.family]
        flops = sum(distillate.flops for distillate in made)
        return replace(chosen, flops=flops, choice=choice.to_dict())

    def _choice_due(self) -> bool:
        return len(self._data.y) >= CHOICE_REGROWTH * self._family_labels

    def _candidate(self, distillate: Distillate) -> Candidate:
        from models.profile import measure_footprint, slowdown

        student = distillate.student
        items = self._data.raw(self._compared if len(self._compared) else self._data.labeled_rows)
        cost = measure_footprint(student, items)
        times = slowdown(self._recipe.device, student.family) if self._recipe.device else 1.0
        agrees = self._agrees(self._predict(student, self._compared))
        return Candidate(student.family, agrees, cost.megabytes, cost.p50_ms * times)

    def restore(self, arrays: Mapping[str, NDArray[Any]], notes: Mapping[str, Any]) -> Distillate:
        """The student that an earlier attempt trained."""
        from models.students.student import Student

        self._family = notes["family"]
        student = Student.from_arrays(self._family, arrays, self._data.class_names)
        return Distillate(
            student,
            notes["cold"],
            notes["n_transfer"],
            notes["flops"],
            notes["report"],
            Taught(**notes["taught"]) if notes["taught"] else None,
            notes["choice"],
        )

    def _followed(self) -> PreviousRound | None:
        """The previous round, where its student is of this family and knows these classes."""
        previous = self._previous
        if previous is None or previous.student is None or previous.student_family != self._family:
            return None
        return previous if previous.class_names == self._data.class_names else None

    def _kept(self) -> Distillate | None:
        """The current student once more, while labels are too few for another training to pay."""
        from models.students.student import Student

        previous = self._followed()
        if previous is None or previous.student is None or self._recipe.forced or self._kind.growth <= 1:
            return None
        due = math.ceil(self._kind.growth * previous.trained_labels)
        if len(self._data.y) >= due:
            return None
        student = Student.from_arrays(self._family, previous.student, previous.class_names)
        read = student.network.prepare(self._data.raw(self._compared))
        report = {
            "kept": True,
            "trained_labels": previous.trained_labels,
            "again_at": due,
            "cut_share": getattr(read, "cut_share", None),
        }
        return Distillate(student, False, 0, 0.0, report)

    def _warm_start(self) -> Mapping[str, NDArray[Any]] | None:
        previous = self._followed()
        if previous is None:
            return None
        grown = len(self._data.y) >= _REGROWTH * previous.cold_labels
        return None if grown or previous.rounds_since_cold + 1 >= self._recipe.cold_every else previous.student

    def _distil(
        self,
        family: str,
        warm_from: Mapping[str, NDArray[Any]] | None,
        size: int,
        transfer_rng: np.random.Generator,
        rng: np.random.Generator,
    ) -> Distillate:
        from models.distill import distil
        from models.replay import digest_items, weights_sha256
        from models.students import network_class

        kind = network_class(family)
        apart = np.isin(self._data.labeled_rows, self._calibration)
        pool = np.setdiff1d(self._pool, self._calibration)
        if len(pool) >= _LEAST_APART:
            pool = np.setdiff1d(pool, self._compared)
        size = min(size, kind.most_transfer)
        if len(pool) > size:
            pool = np.sort(transfer_rng.choice(pool, size, replace=False))
        labeled = self._data.labeled_rows
        items, learned = self._data.raw(pool), self._data.raw(labeled[~apart])
        options: dict[str, Any] = {}  # all that distil is told beside its data: it is kept, to be told it again
        distilled = distil(
            family,
            items,
            self._soft_labels(pool),
            learned,
            self._data.y[~apart],
            class_names=self._data.class_names,
            rng=rng,
            previous=warm_from,
            features=self._features(kind, pool, cold=warm_from is None),
            trunk=self._data.trunk() if kind.matches and self._data.trunk else None,
            calibration=(self._data.raw(labeled[apart]), self._data.y[apart]),
            **options,
        )
        report = distilled.report
        start = None if warm_from is None else weights_sha256(warm_from)
        digests = digest_items(items), digest_items(self._data.raw(labeled))
        taught = Taught(pool.tolist(), COLD if warm_from is None else WARM, start, digests, options)
        return Distillate(distilled.student, not report.warm, len(pool), report.flops, report.to_dict(), taught)

    def _soft_labels(self, rows: IntArray) -> FloatArray:
        """Soft labels of a transfer set, asked for once: each family learns from them, and the lesson keeps them."""
        with self._asking:
            if self._told is None or not np.array_equal(self._told[0], rows):
                self._told = rows, self._soft(rows)
            return self._told[1]

    def _features(self, kind: type[Network], rows: IntArray, *, cold: bool) -> NDArray[Any] | None:
        """The teacher's features of the rows where the family asks for them."""
        asked = kind.reads_features
        return self._data.features[rows] if asked == "always" or (cold and asked == "cold") else None

    def lesson(self, distillate: Distillate, seed: int) -> Lesson | None:
        """All that the student can be trained from again; ``seed`` is that of the generator of `train`.

        Of a student that is cut from an encoder it names the encoder's layers by their digest. None where nothing was
        trained.
        """
        from models.replay import Lesson

        taught = distillate.taught
        if taught is None:
            return None
        trunk = self._data.trunk() if self._kind.matches and self._data.trunk else None
        rows = np.asarray(taught.rows, np.int64)
        features = self._features(self._kind, rows, cold=taught.place == COLD)
        return Lesson(
            numbers=rows,
            soft=np.asarray(self._soft_labels(rows), np.float32),
            features=None if features is None else np.asarray(features),
            labeled=self._data.labeled_rows,
            apart=np.isin(self._data.labeled_rows, self._calibration),
            y=self._data.y,
            family=self._family,
            class_names=self._data.class_names,
            seed=seed,
            place=taught.place,
            start_sha256=taught.start_sha256,
            items_sha256=(taught.items_sha256[0], taught.items_sha256[1]),
            options=dict(taught.options),
            trunk_sha256=None if trunk is None else trunk.sha256(),
        )

    # --- judging ---------------------------------------------------------------------------------------------------

    def decide(self, distillate: Distillate) -> Trained:
        """Compare with the current student on the same rows, and promote or hold."""
        from models.reports import build_report

        student = distillate.student
        data = self._data
        explored = data.labeled_rows[data.exploration]
        on_holdout = self._predict(student, data.holdout_rows)
        agrees = self._agrees(self._predict(student, self._compared))
        comparison: Comparison | None = None
        current = self._current() if not distillate.kept else None
        if current is not None:
            comparison = Comparison(
                new_right=right_rows(data.holdout_y, on_holdout),
                old_right=right_rows(data.holdout_y, current(data.holdout_rows)),
                new_agrees=agrees,
                old_agrees=self._agrees(current(self._compared)),
                new_losses=self._losses(self._predict(student, explored)),
                old_losses=self._losses(current(explored)),
            )
        decision = _stays(distillate.report) if distillate.kept else decide_promotion(comparison)
        agreement = float(agrees.mean()) if len(agrees) else None
        return Trained(
            student=student,
            on_holdout=on_holdout,
            decision=decision,
            metrics={
                "agreement": agreement,
                "agreement_rows": len(agrees),
                "cold": distillate.cold,
                "transfer_rows": distillate.n_transfer,
                "distillation": distillate.report,
                "student_choice": distillate.choice,
                "harm": decision.evidence,
            },
            carry=self._carry(distillate, agreement, decision.promoted),
            probabilities=lambda rows: self._predict(student, rows),
            report=build_report(
                data.class_names, data.holdout_y, on_holdout, measured_on="test" if data.holdout_is_test else "holdout"
            ),
            comparison=comparison,
        )

    def _carry(self, distillate: Distillate, agreement: float | None, promoted: bool) -> dict[str, Any]:
        cold, previous = distillate.cold, self._previous
        if distillate.kept and previous is not None:
            return {name: getattr(previous, name) for name in CARRIED}
        since = 0 if cold else (self._previous.rounds_since_cold if self._previous else 0) + 1
        if not promoted:
            since = self._recipe.cold_every  # warm training from the current student led nowhere: start afresh
        before = self._previous.cold_agreement if self._previous else None
        labels = self._previous.cold_labels if self._previous and not cold else len(self._data.y)
        return {
            "rounds_since_cold": since,
            "cold_agreement": agreement if cold else before,
            "cold_labels": labels,
            "family_labels": len(self._data.y) if distillate.choice else self._family_labels,
            "trained_labels": len(self._data.y),
        }

    @property
    def _family_labels(self) -> int:
        return self._previous.family_labels if self._previous else 0

    def _current(self) -> Callable[[IntArray], FloatArray] | None:
        from models.students.student import Student

        previous = self._previous
        if previous is None or previous.student is None or previous.student_family is None:
            return None
        student = Student.from_arrays(previous.student_family, previous.student, previous.class_names)
        if student.task != self._data.task:
            return None
        return lambda rows: in_order_of(self._predict(student, rows), previous.class_names, self._data.class_names)

    def _predict(self, student: Student, rows: IntArray) -> FloatArray:
        if len(rows) == 0:
            return np.empty((0, len(student.class_names)), dtype=np.float32)
        return student.predict_proba(self._data.raw(rows))

    def _agrees(self, probabilities: FloatArray) -> NDArray[np.bool_]:
        agrees: NDArray[np.bool_] = probabilities.argmax(axis=1) == self._taught
        return agrees

    def _losses(self, probabilities: FloatArray) -> NDArray[np.float64]:
        from models.evaluate import log_losses

        y = self._data.y[self._data.exploration]
        return log_losses(y, probabilities) if len(y) else np.empty(0)

    # --- rows ------------------------------------------------------------------------------------------------------

    @cached_property
    def _pool(self) -> IntArray:
        """Rows that may be learned from: labelled ones and candidates.

        Pending ones are not: some of them may be holdout items that have no label yet.
        """
        rows = np.union1d(self._data.candidate_rows, self._data.labeled_rows)
        return rows.astype(np.int64)

    @cached_property
    def _calibration(self) -> IntArray:
        """Explored labels that the student learns nothing from, ascending; none while there are few of them.

        Picked by the rows' own numbers, so that no earlier student, from which a warm one starts, learned from them.
        """
        explored = self._data.labeled_rows[self._data.exploration]
        if len(explored) < _LEAST_EXPLORED:
            return explored[:0]
        keys = tie_keys(explored, seed=1)
        half = explored[keys < np.iinfo(keys.dtype).max // 2]
        order = np.argsort(tie_keys(half, seed=1), kind="stable")
        return np.sort(half[order[:_MOST_CALIBRATION]])

    @cached_property
    def _compared(self) -> IntArray:
        """Random unlabelled rows on which students are compared with the teacher: shape ``(≤ agreement_rows,)``."""
        free = self._data.candidate_rows
        wanted = min(self._recipe.agreement_rows, len(free), max(50, len(self._pool) // 10))
        # Bound to the rows and not to the round's generator, so that a student's rows stay out of its next training.
        keys = tie_keys(free, seed=0)
        return np.sort(free[np.argsort(keys, kind="stable")[:wanted]])

    @cached_property
    def _taught(self) -> IntArray:
        taught: IntArray = self._soft(self._compared).argmax(axis=1)
        return taught
