"""ONE round: labels in; teacher, student, measures, a decision and a ranking out.

The service's task and ``winnow simulate`` both call `run_round`, so what is benchmarked is what is served. It touches
no database and no file; whoever calls it hands in arrays and a place for checkpoints.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sampler.class_names import ClassNames, column_means
from sampler.groups import rank_groups
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.strategies import get_strategy
from sampler.threads import single_thread
from sampler.unseen_share import unseen_share
from worker.choices import explained, ranking_choice, unseen_choice, view_choice
from worker.recipe import Recipe
from worker.round_data import (
    Checkpoints,
    IntArray,
    NoCheckpoints,
    PreviousRound,
    RoundData,
    RoundResult,
)
from worker.students import StudentStep, Trained

if TYPE_CHECKING:
    from models.teachers import LogisticTeacher

__all__ = [
    "Checkpoints",
    "NoCheckpoints",
    "PreviousRound",
    "RoundData",
    "RoundResult",
    "run_round",
    "settle_labels",
]

_NOTES = "__notes__"
_NO_CARRY = {"rounds_since_cold": 0, "cold_agreement": None, "cold_labels": 0, "trained_labels": 0}
# For the estimate of FLOPs: what a fit takes at most, and how many fits choosing C does (folds × grid, fewer steps).
_FIT_STEPS, _CHOICE_STEPS = 100, 5 * 6 * 40


def settle_labels(
    rows: IntArray, y: IntArray, exploration: NDArray[np.bool_], n_classes: int
) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """One label a row: what most people said, and what was said first where they are even.

    Args:
        rows: Shape ``(l,)``: labelled rows, a row once for each label, oldest first.
        y: Shape ``(l,)``: class indices.
        exploration: Shape ``(l,)``: whether the row was drawn uniformly.
        n_classes: Number of classes.

    Returns:
        Unique rows in ascending order, their classes, and whether any of their labels came from exploration.

    >>> settle_labels(np.array([7, 5, 5, 5]), np.array([1, 0, 2, 2]), np.array([True, False, False, False]), 3)
    (array([5, 7]), array([2, 1]), array([False,  True]))
    """
    unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    explored = np.zeros(len(unique), dtype=bool)
    np.logical_or.at(explored, inverse, exploration.astype(bool))
    if len(unique) == len(rows):
        return unique, y[first].astype(np.int64), explored
    # Votes first, then how early a class was named: an earlier one adds a larger share of less than one vote.
    votes = np.zeros((len(unique), n_classes))
    np.add.at(votes, (inverse, y), 1.0)
    for position in range(len(rows) - 1, -1, -1):
        earliness = 0.5 * (1.0 - position / len(rows))
        votes[inverse[position], y[position]] = np.floor(votes[inverse[position], y[position]]) + earliness
    return unique, votes.argmax(axis=1).astype(np.int64), explored


def run_round(
    data: RoundData,
    recipe: Recipe,
    previous: PreviousRound | None,
    rng: np.random.Generator,
    checkpoints: Checkpoints | None = None,
) -> RoundResult:
    """Train, measure, decide and rank once.

    Args:
        data: The project as it stands. Holdout rows are neither trained on nor ranked, whatever else names them.
        recipe: What to do.
        previous: The last teacher and the current student; None in the first round.
        rng: All randomness. The same data, recipe, previous round and generator state give the same result, resumed
            from checkpoints or not.
        checkpoints: Where the steps are kept.

    Raises:
        SamplerError, ModelError: Data that cannot be used; the message says what to do.
    """
    with single_thread():  # two threads made fits of this size forty times slower
        return _Round(data, recipe, previous, rng, checkpoints or NoCheckpoints()).run()


class _Round:
    """The steps of one round, and what they cost."""

    def __init__(
        self,
        data: RoundData,
        recipe: Recipe,
        previous: PreviousRound | None,
        rng: np.random.Generator,
        checkpoints: Checkpoints,
    ):
        # One seed a step, drawn before any of them: a step that is not made again takes nothing from the others.
        self._seeds = dict(zip(("teacher", "student", "ranking"), rng.integers(1 << 62, size=3).tolist(), strict=True))
        self._data = data
        self._recipe = recipe
        self._previous = previous
        self._checkpoints = checkpoints
        self._timings: dict[str, float] = {}
        self._flops = 0.0

    def run(self) -> RoundResult:
        with self._timed("settle"):
            self._settle()
        seen = np.unique(self._y)
        if len(seen) < 2:
            return self._without_model(seen)
        with self._timed("teacher"):
            self._checkpoints.progress(0.05, f"training the teacher on {len(self._y)} labels")
            teacher = self._teacher()
        trained: Trained | None = None
        if self._recipe.student != "none":
            self._checkpoints.progress(0.2, "distilling the student")
            trained = self._student(teacher)
        with self._timed("measure"):
            self._checkpoints.progress(0.7, "measuring")
            metrics = self._metrics(teacher, trained)
        with self._timed("rank"):
            self._checkpoints.progress(0.85, f"ranking {len(self._candidates)} items")
            ranking, labels, confidences = self._ranking(teacher, trained)
        return RoundResult(
            state="trained",
            reason=trained.decision.reason if trained else "no student was asked for",
            promoted=trained.decision.promoted if trained else False,
            rows=ranking.rows,
            scores=ranking.scores,
            reasons=ranking.reasons,
            labels=labels,
            confidences=confidences,
            metrics=metrics,
            timings={name: round(seconds, 4) for name, seconds in self._timings.items()},
            flops=self._flops,
            carry=trained.carry if trained else dict(_NO_CARRY),
            teacher=teacher,
            student=trained.student if trained else None,
            probabilities=ranking.probabilities,
        )

    # --- steps -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        data = self._data
        keep = ~np.isin(data.labeled_rows, data.holdout_rows)
        self._labeled, self._y, self._explored = settle_labels(
            np.asarray(data.labeled_rows, np.int64)[keep],
            np.asarray(data.y, np.int64)[keep],
            np.asarray(data.exploration, bool)[keep],
            data.n_classes,
        )
        taken = np.zeros(len(data.features), dtype=bool)
        for rows in (self._labeled, data.holdout_rows, data.pending_rows):
            taken[rows] = True
        candidates = np.unique(np.asarray(data.candidate_rows, np.int64))
        self._candidates = candidates[~taken[candidates]]

    def _without_model(self, seen: IntArray) -> RoundResult:
        if len(seen) == 0:
            reason = "nothing is labelled yet: label some items of at least two classes"
        else:
            reason = f"only '{self._data.class_names[int(seen[0])]}' has labels yet: label items of another class too"
        with self._timed("rank"):
            ranking = self._ranked(None, None)
        k = len(ranking)
        return RoundResult(
            state="no_data",
            reason=reason,
            promoted=False,
            rows=ranking.rows,
            scores=ranking.scores,
            reasons=ranking.reasons,
            labels=np.full(k, -1, dtype=np.int64),
            confidences=np.zeros(k),
            metrics={
                "labels": len(self._y),
                "accuracy": None,
                "note": reason,
                "ranking": self._ranking_choice(None),
                **self._unseen(),
            },
            timings={name: round(seconds, 4) for name, seconds in self._timings.items()},
            flops=0.0,
            carry=dict(_NO_CARRY),
            probabilities=ranking.probabilities,
        )

    def _teacher(self) -> LogisticTeacher:
        from models.teachers import LogisticTeacher

        saved = self._checkpoints.load("teacher")
        if saved is not None:
            return LogisticTeacher.from_arrays(saved)
        before = self._previous.teacher if self._previous else None
        old = LogisticTeacher.from_arrays(before) if before is not None else None
        views = self._data.views
        teacher = LogisticTeacher.fit_views(
            views,
            self._labeled,
            self._y,
            self._data.n_classes,
            self._explored,
            rng=np.random.default_rng(self._seeds["teacher"]),
            previous=old,
        )
        size = 4.0 * len(self._y) * self._data.features.shape[1] * len(teacher.seen)
        chose = old is None or old.chosen_at != teacher.chosen_at
        self._flops += size * (_FIT_STEPS + (_CHOICE_STEPS * len(views) if chose else 0))
        self._checkpoints.save("teacher", teacher.arrays())
        return teacher

    def _student(self, teacher: LogisticTeacher) -> Trained:
        step = StudentStep(
            replace(
                self._data,
                candidate_rows=self._candidates,
                labeled_rows=self._labeled,
                y=self._y,
                exploration=self._explored,
            ),
            self._recipe,
            self._previous,
            teacher,
            lambda rows: self._teacher_probabilities(teacher, rows),
        )
        with self._timed("student"):
            student = None
            saved = self._checkpoints.load("student")
            if saved is not None:
                student = step.restore(*_unpacked(saved))
            else:
                student = step.train(np.random.default_rng(self._seeds["student"]))
                self._flops += student.flops
                self._checkpoints.save("student", _packed(student.student.arrays(), student.notes()))
        with self._timed("promote"):
            return step.decide(student)

    def _metrics(self, teacher: LogisticTeacher, trained: Trained | None) -> dict[str, Any]:
        from worker.measure import measured

        data = self._data
        metrics: dict[str, Any] = {
            "labels": len(self._y),
            "classes_seen": len(teacher.seen),
            **self._unseen(),
            "exploration_labels": int(self._explored.sum()),
            "measured_on": "test" if data.holdout_is_test else "holdout",
            "measured_labels": len(data.holdout_rows),
            "teacher_c": teacher.C,
            **view_choice(teacher.view, teacher.losses, teacher.chosen_at, tuple(data.views)),
            "chance_loss": None if teacher.chance is None else round(teacher.chance, 4),
            "ranking": self._ranking_choice(teacher),
            "teacher": None,
            "student": None,
            "accuracy": None,
        }
        metrics["explanation"] = explained(metrics)
        on_holdout = self._teacher_probabilities(teacher, data.holdout_rows)
        metrics["teacher"] = measured(data.holdout_y, on_holdout)
        if trained is not None:
            metrics["student"] = measured(data.holdout_y, trained.on_holdout)
            metrics.update(trained.metrics)
        shown = metrics["student"] if trained is not None else metrics["teacher"]
        if shown is not None:
            metrics["accuracy"] = {key: shown[key] for key in ("value", "low", "high", "labels")}
        else:
            metrics["note"] = f"not yet measurable: {len(data.holdout_rows)} measured labels"
        return metrics

    def _ranking(
        self, teacher: LogisticTeacher, trained: Trained | None
    ) -> tuple[Ranking, IntArray, NDArray[np.floating[Any]]]:
        saved = self._checkpoints.load("ranking")
        if saved is not None:
            arrays, notes = _unpacked(saved)
            ranking = Ranking(arrays["rows"], arrays["scores"], list(notes["reasons"]), arrays.get("probabilities"))
            return ranking, arrays["labels"], arrays["confidences"]
        if self._recipe.ranker == "student" and trained is not None:
            probabilities = trained.probabilities(self._candidates)
        else:
            probabilities = self._teacher_probabilities(teacher, self._candidates)
        ranking = self._ranked(probabilities, teacher)
        guesses = probabilities[np.searchsorted(self._candidates, ranking.rows)]
        labels = guesses.argmax(axis=1).astype(np.int64)
        confidences = guesses.max(axis=1).astype(np.float64) if len(guesses) else np.empty(0)
        arrays = {"rows": ranking.rows, "scores": ranking.scores, "labels": labels, "confidences": confidences}
        if ranking.probabilities is not None:
            arrays["probabilities"] = ranking.probabilities
        self._checkpoints.save("ranking", _packed(arrays, {"reasons": ranking.reasons}))
        return ranking, labels, confidences

    def _ranked(self, probabilities: NDArray[np.floating[Any]] | None, teacher: LogisticTeacher | None) -> Ranking:
        strategy = self._strategy(probabilities is not None)
        view = teacher.view if teacher is not None else list(self._data.views)[-1]
        context = QueryContext(
            features=self._data.views[view],
            candidates=self._candidates,
            labeled=self._labeled,
            y=self._y,
            n_classes=self._data.n_classes,
            rng=np.random.default_rng(self._seeds["ranking"]),
            probabilities=probabilities,
            pending=np.asarray(self._data.pending_rows, np.int64),
            batch_size=self._recipe.batch_size,
            class_names=self._data.class_names,
            scaling=self._scaling(teacher, self._data.views[view]),
            names=self._names(),
            by_chance=_by_chance(teacher),
        )
        return rank_groups(strategy, context, self._recipe.queue_size, self._data.groups)

    def _strategy(self, has_model: bool) -> QueryStrategy:
        """What ranks: another than the recipe's where that cannot do without a model."""
        strategy = get_strategy(self._recipe.strategy)
        if has_model or "probabilities" not in strategy.needs:
            return strategy
        return get_strategy("typiclust" if strategy.name == "clustered_margin" else "random")

    def _ranking_choice(self, teacher: LogisticTeacher | None) -> dict[str, Any]:
        has_model = teacher is not None
        return ranking_choice(
            self._recipe.strategy,
            self._strategy(has_model).name,
            self._y,
            self._data.n_classes,
            has_model=has_model,
            by_chance=_by_chance(teacher),
        )

    # --- parts -----------------------------------------------------------------------------------------------------

    def _scaling(
        self, teacher: LogisticTeacher | None, features: NDArray[np.floating[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        from models.teachers import column_scaling

        if teacher is not None:
            return teacher.center, teacher.scale
        return column_scaling(features) if len(features) else None

    def _unseen(self) -> dict[str, Any]:
        data = self._data
        measured = data.holdout_y if not data.holdout_is_test else data.holdout_y[:0]
        share = unseen_share(self._y[~self._explored], self._y[self._explored], measured, data.n_classes)
        return unseen_choice([n for c, n in enumerate(data.class_names) if c not in self._y], share)

    def _names(self) -> ClassNames | None:
        """The names of the classes among the items, while there are classes to be found by them."""
        data = self._data
        if data.class_vectors is None or not len(data.features) or len(np.unique(self._y)) == data.n_classes:
            return None
        return ClassNames(data.features, data.class_vectors, column_means(data.features))

    def _teacher_probabilities(self, teacher: LogisticTeacher, rows: IntArray) -> NDArray[np.float32]:
        """Shape ``(len(rows), n_classes)``; a memory-mapped pool is never copied whole."""
        return teacher.predict_proba(self._data.views[teacher.view], rows)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._timings[step] = self._timings.get(step, 0.0) + time.perf_counter() - started


def _by_chance(teacher: LogisticTeacher | None) -> bool:
    return teacher is not None and teacher.by_chance


def _packed(arrays: Mapping[str, NDArray[Any]], notes: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Arrays with JSON beside them, as one more array of bytes."""
    return {**arrays, _NOTES: np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8)}


def _unpacked(saved: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    notes: dict[str, Any] = json.loads(np.asarray(saved[_NOTES], dtype=np.uint8).tobytes())
    return {name: array for name, array in saved.items() if name != _NOTES}, notes
