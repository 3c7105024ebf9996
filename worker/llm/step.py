"""The language model's part of a round: ask, hold its answers against people's, and give it the share that it earns.

Its answers are never labels and never measured on. They train a head beside the round's own; how much of the teacher
that becomes is chosen by cross-validation on people's labels, and the head that ranks stays as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sampler.batch import tie_keys
from sampler.reasons import percent
from worker.evidence import confidence_sequence
from worker.llm.asking import PREFIX, Asked, Known, Panel, RowQuestion, ShownRow
from worker.measure import measured
from worker.round_data import Checkpoints, FloatArray, IntArray, RoundData

if TYPE_CHECKING:
    from models.llm.member import AnsweredHead
    from models.teachers import LogisticTeacher

_NOTES, _QUESTIONS, _ANSWERS = "notes", "llm_questions", "llm_answers"


@dataclass(frozen=True)
class Lesson:
    """What came of asking.

    Attributes:
        soft: The teacher's probabilities for rows, the language model's share included.
        metrics: JSON, to be shown as the round's ``llm``.
        member: The head that learned from the answers; None where none was trained.
        why: The same in words.
    """

    soft: Callable[[IntArray], FloatArray]
    metrics: dict[str, Any]
    member: AnsweredHead | None
    why: str


class LlmStep:
    """Asks and judges. ``data`` holds settled labels and the candidates that are left."""

    def __init__(
        self,
        data: RoundData,
        teacher: LogisticTeacher,
        checkpoints: Checkpoints,
        head: Callable[[IntArray], FloatArray],
        rng: np.random.Generator,
    ) -> None:
        self._data = data
        self._teacher = teacher
        self._checkpoints = checkpoints
        self._head = head
        self._rng = rng

    def run(self, name: str) -> Lesson:
        """Ask what the project's setting names, as far as the budget goes, and learn from all answers so far."""
        choosing, dealing = self._rng.spawn(2)
        panel = self._data.panel
        if panel is None:
            why = f"{name} is not registered here: the teacher is the head alone"
            return Lesson(self._head, {"name": name, "share": 0.0, "stopped": why}, None, f"{_sentence(why)}.")
        known, notes = self._asked(panel, choosing)
        return self._judged(panel, known, notes, dealing)

    # --- asking ----------------------------------------------------------------------------------------------------

    def _asked(self, panel: Panel, rng: np.random.Generator) -> tuple[Known, dict[str, Any]]:
        from models.llm.answers import Answers

        saved = self._checkpoints.load(_ANSWERS)
        if saved is not None:
            notes = json.loads(np.asarray(saved[_NOTES], np.uint8).tobytes())
            return Known(Answers.from_arrays(saved), np.asarray(saved["unfit"], np.int64)), notes
        questions = self._questions(panel, rng)
        asked = panel.ask(questions, lambda share, message: self._checkpoints.progress(0.1 + 0.1 * share, message))
        known, notes = panel.known(), _notes(asked, len(questions))
        packed = np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8)
        self._checkpoints.save(_ANSWERS, {**known.answers.arrays(), "unfit": known.unfit, _NOTES: packed})
        return known, notes

    def _questions(self, panel: Panel, rng: np.random.Generator) -> list[RowQuestion]:
        """What to ask about; chosen once for a round, however often it is begun."""
        saved = self._checkpoints.load(_QUESTIONS)
        rows = self._chosen(panel, rng) if saved is None else np.asarray(saved["rows"], np.int64)
        if saved is None:
            self._checkpoints.save(_QUESTIONS, {"rows": rows})
        data, places = self._data, [self._examples(panel, row) for row in rows.tolist()]
        needed = np.unique(np.concatenate([rows, *(data.labeled_rows[some] for some in places)])).astype(np.int64)
        texts = dict(zip(needed.tolist(), (str(text) for text in data.raw(needed)), strict=True))
        return [
            RowQuestion(
                row,
                texts[row],
                tuple(
                    ShownRow(shown, texts[shown], label)
                    for shown, label in zip(data.labeled_rows[some].tolist(), data.y[some].tolist(), strict=True)
                ),
            )
            for row, some in zip(rows.tolist(), places, strict=True)
        ]

    def _chosen(self, panel: Panel, rng: np.random.Generator) -> IntArray:
        from models.llm.questions import choose_measured, choose_unlabelled

        data, answered, n = self._data, panel.known().asked, panel.items_per_round
        half = (n + 1) // 2
        first = choose_measured(data.labeled_rows, data.exploration, answered, half, rng=rng)
        then = choose_unlabelled(
            data.candidate_rows,
            self._head(data.candidate_rows),
            data.groups,
            answered,
            n - len(first),
            doubted=panel.doubted,
            rng=rng,
        )
        return np.concatenate([first, then]).astype(np.int64)

    def _examples(self, panel: Panel, row: int) -> IntArray:
        """Places of the labelled rows to show beside a row."""
        from models.llm.questions import choose_examples

        data, able = self._data, self._shown
        some = choose_examples(
            data.features, data.labeled_rows[able], data.y[able], row, panel.examples, groups=data.groups
        )
        places: IntArray = able[some]
        return places

    @cached_property
    def _shown(self) -> IntArray:
        from models.llm.questions import choose_shown

        return choose_shown(self._data.y, self._data.exploration, tie_keys(self._data.labeled_rows, seed=0))

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judged(self, panel: Panel, known: Known, notes: dict[str, Any], rng: np.random.Generator) -> Lesson:
        from models.blend import Share, choose_share
        from models.llm.answers import Answers
        from models.llm.member import AnsweredHead, Labels
        from models.regularisation import deal_folds

        data, teacher = self._data, self._teacher
        features, labels = data.views[teacher.view], Labels(data.labeled_rows, data.y)
        member = AnsweredHead(panel.name, features, teacher, labels, known.answers)
        share = Share(0.0)
        if member.n_soft:
            folds = deal_folds(data.y, data.exploration, rng)
            folds[member.shown] = -1
            alone = AnsweredHead("logistic", features, teacher, labels, Answers.none(data.n_classes))
            share = choose_share(data.y, alone.cross_fitted(folds), member.cross_fitted(folds))
        if share.value:
            member.fit()
        soft = self._blended(member, share.value)
        measure = self._accuracy(member)
        metrics = {
            "name": panel.name,
            "model": panel.model,
            **notes,
            "answers": len(known.answers),
            "unfit": len(known.unfit),
            "accuracy": measure,
            "temperature": round(member.answers_temperature, 4),
            "share": share.value,
            "losses": None
            if share.loss is None or share.head_loss is None or share.member_loss is None
            else {
                "head": round(share.head_loss, 4),
                "member": round(share.member_loss, 4),
                "together": round(share.loss, 4),
            },
            "tested": share.tested,
            "teacher": measured(data.holdout_y, soft(data.holdout_rows)) if share.value else None,
        }
        return Lesson(soft, metrics, member if share.value else None, said(metrics))

    def _blended(self, member: AnsweredHead, share: float) -> Callable[[IntArray], FloatArray]:
        from models.blend import mix

        return (lambda rows: mix(self._head(rows), member.predict_proba(rows), share)) if share else self._head

    def _accuracy(self, member: AnsweredHead) -> dict[str, Any] | None:
        """How often its answers are what people said, with an interval: on uniformly drawn labels from 30 on."""
        from models.regularisation import MIN_EXPLORATION

        answers, truth = member.held
        right = answers.probabilities.argmax(axis=1) == truth
        drawn = np.isin(answers.rows, self._data.labeled_rows[self._data.exploration])
        on = "exploration" if drawn.sum() >= MIN_EXPLORATION else "labels"
        if on == "exploration":
            right = right[drawn]
        if not len(right):
            return None
        low, high = confidence_sequence(int(right.sum()), len(right))
        return {"value": float(right.mean()), "low": low, "high": high, "labels": len(right), "on": on}


def _notes(asked: Asked, n_questions: int) -> dict[str, Any]:
    return {
        "questions": n_questions,
        "failed": asked.failed,
        "stopped": asked.stopped,
        "usage": asked.usage,
        "spent": asked.spent,
    }


def said(metrics: dict[str, Any]) -> str:
    """What a round's ``llm`` metrics say, in sentences for people."""
    name, usage, spent, accuracy = (metrics[key] for key in ("name", "usage", "spent", "accuracy"))
    parts = [
        f"{name} ({metrics['model']}) was asked about {_count(metrics['questions'], 'item')} in this round: "
        f"{_count(usage['calls'], 'call')}, {_money(usage)}; {_money(spent)} so far"
    ]
    if metrics["stopped"]:
        parts.append(f"It was not asked further: {metrics['stopped']}")
    if accuracy is not None:
        unfit = f"; {metrics['unfit']} of all answers fit no class" if metrics["unfit"] else ""
        parts.append(
            f"It says what people say on {percent(accuracy['value'])} of {_count(accuracy['labels'], 'labelled item')} "
            f"(95 % interval {percent(accuracy['low'])} to {percent(accuracy['high'])}){unfit}"
        )
    losses = metrics["losses"]
    if losses is None:
        parts.append("The teacher is the head alone: there is too little to compare by")
    elif not metrics["share"]:
        parts.append(
            f"The teacher is the head alone: cross-validated log-loss is {losses['head']:.3f}, and "
            f"{losses['member']:.3f} with its answers, which is not clearly less"
        )
    else:
        parts.append(
            f"What is learned from its answers makes up {percent(metrics['share'])} of the teacher: cross-validated "
            f"log-loss is {losses['together']:.3f} so and {losses['head']:.3f} without"
        )
    return " ".join(f"{_sentence(part)}." for part in parts)


def _sentence(text: str) -> str:
    return text if text.startswith(PREFIX) else text[:1].upper() + text[1:]


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _money(usage: dict[str, Any]) -> str:
    return f"{usage['cost']:.4g} {usage['currency']}"
