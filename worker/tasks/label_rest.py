"""Labelling the rest: what the student is sure enough of, by a threshold that is certified on held-out labels.

Three steps, each of which goes on where another attempt stopped: count the student's confidences over the pool, find
the threshold, write the labels. A dry run ends after the second.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from predictor import Predictor
from winnow import model_labels, pool, registry
from winnow.db.session import lock_project
from winnow.db.tables import Project, Student
from winnow.jobs import JobContext
from winnow.label_rows import standing_for_training
from winnow.pool_predictions import PAGES
from winnow.projects import class_names, unarchived
from worker.base import Runtime
from worker.certify import BINS, Certificate, IntArray, binned, certify
from worker.serving import serving_predictor

#: Between two notes of how far the counting is.
NOTE_SECONDS = 2.0
#: The share of the progress bar that counting takes.
_COUNTING = 0.5


def run(runtime: Runtime, context: JobContext) -> None:
    """Do what the job asks for."""
    with runtime.database.read() as session:
        project = unarchived(session, context.project_id)
        student = registry.get_student(session, project.id, context.payload["version"])
    predictor = serving_predictor(runtime, student)
    state = dict(context.checkpoint_state) or {"at": -1, "below": project.next_number, "pool": {}, "left": {}}
    work = _Run(runtime, context, project, student, predictor, state)
    work.count()
    work.find()
    if not context.payload["dry_run"]:
        work.write()
    result = work.result()
    with runtime.database.write() as session:
        context.finish(session, result)


class _Run:
    def __init__(
        self,
        runtime: Runtime,
        context: JobContext,
        project: Project,
        student: Student,
        predictor: Predictor,
        state: dict[str, Any],
    ) -> None:
        self._runtime, self._context = runtime, context
        self._project, self._student, self._predictor = project, student, predictor
        self._classes = class_names(project)
        self._state = state
        self._noted_at = time.monotonic()

    def count(self) -> None:
        """How many items have each confidence: in all, and of those that are left."""
        if "certificate" in self._state:
            return
        pools, left = _counts(self._state["pool"]), _counts(self._state["left"])
        while page := self._page():
            _, bins = self._predicted([item.number for item in page])
            pools += np.bincount(bins, minlength=BINS + 1)
            left += np.bincount(bins[[item.left for item in page]], minlength=BINS + 1)
            self._state |= {"at": page[-1].number, "pool": _sparse(pools), "left": _sparse(left)}
            self._pause(_COUNTING)

    def find(self) -> None:
        """The threshold, from labels that no student is trained on: the own test set's, else the holdout's."""
        if "certificate" in self._state:
            return
        split, numbers, truth = self._measured()
        names, confidences = self._said(numbers)
        certificate = certify(
            _counts(self._state["pool"]),
            _counts(self._state["left"]),
            confidences,
            [said == true for said, true in zip(names, truth, strict=True)],
            alpha=self._context.payload["alpha"],
            confidence=self._context.payload["confidence"],
        )
        self._state = {
            "at": -1,
            "below": self._state["below"],
            "left": sum(self._state["left"].values()),
            "certificate": vars(certificate),
            "measured_on": split,
            "written": 0,
            "first": None,
            "last": None,
        }
        with self._runtime.database.write() as session:
            self._context.checkpoint(session, self._state, _COUNTING, "the threshold is found")

    def write(self) -> None:
        """Write what the student says of items that are left and above the threshold, page by page."""
        if self._state["certificate"]["threshold"] is None:
            return
        threshold = round(self._state["certificate"]["threshold"] * BINS)
        while page := self._page():
            numbers = [item.number for item in page if item.left]
            indices, bins = self._predicted(numbers)
            chosen = {
                number: self._predictor.labels[index]
                for number, index, place in zip(numbers, indices.tolist(), bins.tolist(), strict=True)
                if place >= threshold
            }
            self._context.pause_point()
            self._accept(chosen, page[-1].number)

    def _accept(self, chosen: dict[int, str], at: int) -> None:
        with self._runtime.database.write() as session:
            lock_project(session, self._project.id)
            count, ids = model_labels.accept(session, self._project.id, self._student, chosen)
            state = {**self._state, "at": at, "written": self._state["written"] + count}
            if ids is not None:
                state |= {"first": state["first"] or ids[0], "last": ids[1]}
            share = _COUNTING + (1 - _COUNTING) * (at + 1) / max(1, state["below"])
            self._context.checkpoint(session, state, share, f"{state['written']:,} labels written")
        self._state = state

    def result(self) -> dict[str, Any]:
        """What was found and, unless it is a dry run, written."""
        certificate = Certificate(**self._state["certificate"])
        dry = self._context.payload["dry_run"]
        return {
            **{name: self._context.payload[name] for name in ("version", "alpha", "confidence", "dry_run")},
            **{name: getattr(certificate, name) for name in ("threshold", "bound", "coverage", "needed", "reason")},
            "accepted": certificate.accepted if dry else self._state["written"],
            "left": self._state["left"],
            "held_out_labels": certificate.labels,
            "errors": certificate.errors,
            "measured_on": self._state["measured_on"],
        }

    def _page(self) -> list[model_labels.PoolItem]:
        limit = PAGES[self._project.task]
        with self._runtime.database.read() as session:
            return model_labels.pool_page(session, self._project.id, self._state["at"], self._state["below"], limit)

    def _predicted(self, numbers: Sequence[int]) -> tuple[IntArray, IntArray]:
        """The student's classes and binned confidences; a class that the project has no more is never sure."""
        with self._runtime.database.read() as session:
            items = pool.raw_items(session, self._project.id, numbers) if numbers else []
        probabilities = self._predictor.predict_proba(items)
        indices = probabilities.argmax(1)
        known = np.array([name in self._classes for name in self._predictor.labels])
        return indices, np.where(known[indices], binned(probabilities.max(1, initial=0.0)), 0)

    def _said(self, numbers: Sequence[int]) -> tuple[list[str], list[float]]:
        indices, bins = self._predicted(numbers)
        return [self._predictor.labels[index] for index in indices.tolist()], (bins / BINS).tolist()

    def _measured(self) -> tuple[str, list[int], list[str]]:
        with self._runtime.database.read() as session:
            labels = standing_for_training(session, self._project.id)
        split = "test" if "test" in labels.splits else "holdout"
        places = [place for place, of in enumerate(labels.splits) if of == split]
        return split, labels.numbers[places].tolist(), [self._classes[labels.classes[place]] for place in places]

    def _pause(self, share: float) -> None:
        """Note how far the counting is, now and then and before it makes way."""
        at = (self._state["at"] + 1) / max(1, self._state["below"])
        stops = self._context.should_stop() or self._context.should_yield()
        if stops or time.monotonic() - self._noted_at >= NOTE_SECONDS:
            self._noted_at = time.monotonic()
            with self._runtime.database.write() as session:
                self._context.checkpoint(session, self._state, share * at, f"{self._state['at'] + 1:,} items read")
        if stops:
            self._context.pause_point()


def _counts(sparse: dict[str, int]) -> IntArray:
    counts = np.zeros(BINS + 1, np.int64)
    for place, count in sparse.items():
        counts[int(place)] = count
    return counts


def _sparse(counts: IntArray) -> dict[str, int]:
    return {str(place): int(counts[place]) for place in np.flatnonzero(counts).tolist()}
