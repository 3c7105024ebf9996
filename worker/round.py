"""ONE round: labels in; teacher, student, measures, a decision and a ranking out.

The service's task and ``winnow simulate`` both call `run_round`, so what is benchmarked is what is served. It touches
no database and no file; whoever calls it hands in arrays and a place for checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sampler.class_names import ClassNames, column_means
from sampler.groups import rank_groups
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.strategies import get_strategy
from sampler.threads import single_thread
from sampler.unseen_share import unseen_share
from worker.choices import explained, ranking_choice, student_explained, unseen_choice, view_choice
from worker.finetuned import METHODS, FinetunedStep
from worker.llm.asking import PREFIX
from worker.llm.step import LlmStep
from worker.packing import packed, unpacked
from worker.recipe import Recipe
from worker.round_data import (
    CARRIED,
    Checkpoints,
    IntArray,
    NoCheckpoints,
    PreviousRound,
    RoundData,
    RoundResult,
)
from worker.settling import settle_labels, settled
from worker.side_by_side import Ahead
from worker.students import StudentStep, Trained, import_for_training
from worker.teaching import Taught, TeachingStep, zero_shot

if TYPE_CHECKING:
    from models.replay import Lesson
    from models.teachers import LogisticTeacher
    from worker.finetuned import Finetuned

__all__ = [
    "Checkpoints",
    "NoCheckpoints",
    "PreviousRound",
    "RoundData",
    "RoundResult",
    "run_round",
    "settle_labels",
]

Soft = Callable[[IntArray], NDArray[np.floating[Any]]]
"""Soft labels of rows, (n, n_classes)."""
Ranked = tuple[Ranking, IntArray, NDArray[np.floating[Any]]]
"""A ranking, the likeliest class of each of its rows, and its probability."""
_MOST_AHEAD = 200_000
"""Candidates: of more, what the ranking needs of memory and what the training needs would add up."""

_NO_CARRY: dict[str, Any] = {**dict.fromkeys(CARRIED, 0), "cold_agreement": None}
# For the estimate of FLOPs: what a fit takes at most, and how many fits choosing C does (folds × grid, fewer steps).
_FIT_STEPS, _CHOICE_STEPS = 100, 5 * 6 * 40


@dataclass(frozen=True)
class _Other:
    """What gives the soft labels in place of the cheap teachers, what is said of it, and why it does."""

    soft: Soft
    metrics: dict[str, Any]
    why: str
    finetuned: Finetuned | None = None


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
        self._cpu: dict[str, float] = {}
        self._flops = 0.0
        self._ahead: Ahead[Ranked] | None = None
        self._lesson: Callable[[], Lesson | None] | None = None

    def run(self) -> RoundResult:
        with self._timed("settle"):
            self._settle()
        seen = np.unique(self._y)
        if len(seen) < 2:
            return self._without_model(seen)
        with self._timed("teacher"):
            self._checkpoints.progress(0.05, f"training the teacher on {len(self._y)} labels")
            teacher = self._teacher()
        with ExitStack() as ending:
            self._begin_ranking(teacher, ending)
            with self._timed("teacher"):
                taught = self._taught(teacher)
            other = self._asked(teacher) or self._finetuned(teacher)
            soft = other.soft if other is not None else taught.predict_proba if taught is not None else None
            trained: Trained | None = None
            if soft is not None and self._recipe.student != "none":
                self._checkpoints.progress(0.2, "distilling the student")
                trained = self._student(teacher, soft)
            with self._timed("measure"):
                self._checkpoints.progress(0.7, "measuring")
                metrics = self._metrics(teacher, taught, soft, trained)
                if other is not None:
                    metrics |= {**other.metrics, "teacher_kind": self._recipe.teacher, "teacher_why": other.why}
                    metrics["explanation"] += f" {other.why}"
            self._checkpoints.progress(0.85, f"ranking {len(self._candidates)} items")
            ranking, labels, confidences = self._kept_ranking(teacher, trained)
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
            taught=taught,
            student=trained.student if trained else None,
            probabilities=ranking.probabilities,
            report=trained.report if trained else None,
            lesson=self._lesson,
            cpu=self._cpu,
            finetuned=other.finetuned if other is not None else None,
        )

    # --- steps -----------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        self._settled = data = settled(self._data)
        self._labeled, self._y, self._explored = data.labeled_rows, data.y, data.exploration
        self._candidates = data.candidate_rows

    def _without_model(self, seen: IntArray) -> RoundResult:
        if len(seen) == 0:
            reason = "nothing is labelled yet: label some items of at least two classes"
        else:
            reason = f"only '{self._data.class_names[int(seen[0])]}' has labels yet: label items of another class too"
        with self._timed("rank"):
            guesses = zero_shot(self._data, self._recipe, self._candidates)
            ranking = self._ranked(guesses, None)
            labels, confidences = self._guessed(guesses, ranking.rows)
        return RoundResult(
            state="no_data",
            reason=reason,
            promoted=False,
            rows=ranking.rows,
            scores=ranking.scores,
            reasons=ranking.reasons,
            labels=labels,
            confidences=confidences,
            metrics={
                "labels": len(self._y),
                "accuracy": None,
                "note": reason,
                "ranking": self._ranking_choice(None, has_model=guesses is not None),
                "zero_shot": guesses is not None,
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

    def _taught(self, teacher: LogisticTeacher) -> Taught | None:
        """What gives the soft labels; None where nobody would learn from them, or another step gives them."""
        recipe = self._recipe
        if recipe.student == "none" and recipe.teacher in ("auto", "logistic"):
            return None
        if recipe.teacher.startswith(PREFIX) or recipe.teacher in METHODS:
            return None
        before = self._previous.teacher if self._previous else None
        return TeachingStep(self._settled, recipe, before, teacher, self._seeds["teacher"]).run(self._checkpoints)

    def _asked(self, teacher: LogisticTeacher) -> _Other | None:
        """What a language model adds to the teacher; None where none is to be asked."""
        name = self._recipe.teacher
        if not name.startswith(PREFIX):
            return None
        with self._timed("llm"):
            rng = np.random.default_rng([self._seeds["teacher"], 1])
            step = LlmStep(self._settled, teacher, self._checkpoints, self._soft(teacher), rng)
            found = step.run(name)
        return _Other(found.soft, {"llm": found.metrics}, found.why)

    def _finetuned(self, teacher: LogisticTeacher) -> _Other | None:
        """What a fine-tuned encoder says; None where the recipe names none."""
        if self._recipe.teacher not in METHODS:
            return None
        kept = self._previous.finetuned if self._previous else None
        seed = self._seeds["teacher"]
        with self._timed("finetune"):
            step = FinetunedStep(self._settled, self._recipe.teacher, kept, teacher, self._checkpoints, seed)
            found = step.run()
        self._flops += found.flops
        answers = "The student learns from the fine-tuned encoder" if found.metrics["answers"] else "The head teaches"
        why = f"{answers}: {found.metrics['why']}."
        return _Other(found.predict_proba, {"finetuned": found.metrics}, why, found)

    def _begin_ranking(self, teacher: LogisticTeacher, ending: ExitStack) -> None:
        """Rank beside the training of a student, where that does not rank and their needs of memory do not add up."""
        recipe = self._recipe
        if recipe.ranker == "student" or recipe.student == "none" or len(self._candidates) > _MOST_AHEAD:
            return
        if self._saved_ranking is not None:
            return
        import_for_training(self._data.task, recipe)
        self._ahead = ending.enter_context(Ahead(lambda: self._ranking(teacher, None)))

    def _student(self, teacher: LogisticTeacher, soft: Soft) -> Trained:
        step = StudentStep(self._settled, self._recipe, self._previous, teacher, soft)
        with self._timed("student"):
            student = None
            saved = self._checkpoints.load("student")
            if saved is not None:
                student = step.restore(*unpacked(saved))
            else:
                student = step.train(np.random.default_rng(self._seeds["student"]))
                self._flops += student.flops
                self._checkpoints.save("student", packed(student.student.arrays(), student.notes()))
        self._lesson = lambda: step.lesson(student, self._seeds["student"])
        with self._timed("promote"):
            return step.decide(student)

    def _metrics(
        self, teacher: LogisticTeacher, taught: Taught | None, soft: Soft | None, trained: Trained | None
    ) -> dict[str, Any]:
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
            **(taught.metrics if taught else {}),
            "teacher": None,
            "composite": None,
            "student": None,
            "accuracy": None,
        }
        metrics["explanation"] = explained(metrics)
        on_holdout = self._teacher_probabilities(teacher, data.holdout_rows)
        metrics["teacher"] = measured(data.holdout_y, on_holdout)
        if soft is not None:
            metrics["composite"] = measured(data.holdout_y, soft(data.holdout_rows))
        if trained is not None:
            metrics["student"] = measured(data.holdout_y, trained.on_holdout)
            metrics.update(trained.metrics)
            metrics["explanation"] += student_explained(metrics.get("student_choice"))
        shown = metrics["student"] if trained is not None else metrics["teacher"]
        if shown is not None:
            metrics["accuracy"] = {key: shown[key] for key in ("value", "low", "high", "labels")}
        else:
            metrics["note"] = f"not yet measurable: {len(data.holdout_rows)} measured labels"
        return metrics

    @cached_property
    def _saved_ranking(self) -> Mapping[str, NDArray[Any]] | None:
        return self._checkpoints.load("ranking")

    def _kept_ranking(self, teacher: LogisticTeacher, trained: Trained | None) -> Ranked:
        """The ranking of an earlier attempt, or the one that was begun ahead, or one made now."""
        ahead = self._ahead
        if ahead is None and self._saved_ranking is not None:
            arrays, notes = unpacked(self._saved_ranking)
            ranking = Ranking(arrays["rows"], arrays["scores"], list(notes["reasons"]), arrays.get("probabilities"))
            return ranking, arrays["labels"], arrays["confidences"]
        if ahead is None:
            with self._timed("rank"):
                ranking, labels, confidences = self._ranking(teacher, trained)
        else:
            ranking, labels, confidences = ahead.result()
            self._timings["rank"], self._cpu["rank"] = ahead.seconds, ahead.cpu
        arrays = {"rows": ranking.rows, "scores": ranking.scores, "labels": labels, "confidences": confidences}
        if ranking.probabilities is not None:
            arrays["probabilities"] = ranking.probabilities
        self._checkpoints.save("ranking", packed(arrays, {"reasons": ranking.reasons}))
        return ranking, labels, confidences

    def _ranking(self, teacher: LogisticTeacher, trained: Trained | None) -> Ranked:
        if self._recipe.ranker == "student" and trained is not None:
            probabilities = trained.probabilities(self._candidates)
        else:
            probabilities = self._teacher_probabilities(teacher, self._candidates)
        ranking = self._ranked(probabilities, teacher)
        return ranking, *self._guessed(probabilities, ranking.rows)

    def _guessed(
        self, probabilities: NDArray[np.floating[Any]] | None, rows: IntArray
    ) -> tuple[IntArray, NDArray[np.floating[Any]]]:
        """The likeliest class of ranked rows and its probability; -1 and 0 where nothing is known of them."""
        if probabilities is None or not len(rows):
            return np.full(len(rows), -1, dtype=np.int64), np.zeros(len(rows))
        guesses = probabilities[np.searchsorted(self._candidates, rows)]
        return guesses.argmax(axis=1).astype(np.int64), guesses.max(axis=1).astype(np.float64)

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

    def _ranking_choice(self, teacher: LogisticTeacher | None, *, has_model: bool = True) -> dict[str, Any]:
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

    def _soft(self, teacher: LogisticTeacher) -> Callable[[IntArray], NDArray[np.float32]]:
        return lambda rows: self._teacher_probabilities(teacher, rows)

    def _teacher_probabilities(self, teacher: LogisticTeacher, rows: IntArray) -> NDArray[np.float32]:
        """Shape ``(len(rows), n_classes)``; a memory-mapped pool is never copied whole."""
        return teacher.predict_proba(self._data.views[teacher.view], rows)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started, spent = time.perf_counter(), self._spent()
        try:
            yield
        finally:
            self._timings[step] = self._timings.get(step, 0.0) + time.perf_counter() - started
            self._cpu[step] = self._cpu.get(step, 0.0) + self._spent() - spent

    def _spent(self) -> float:
        """CPU-seconds of this process, without those of the ranking that goes on beside it."""
        return time.process_time() - (self._ahead.cpu_beside() if self._ahead is not None else 0.0)


def _by_chance(teacher: LogisticTeacher | None) -> bool:
    return teacher is not None and teacher.by_chance
