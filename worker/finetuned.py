"""The fine-tuned teacher's part of a round: train it when labels have grown, let the kept one answer in between.

The head goes on ranking. What is fine-tuned gives the soft labels that the student learns from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from models.errors import BadInput, CorruptModel
from models.finetune.recipe import FinetuneRecipe
from worker.round_data import Arrays, Checkpoints, FloatArray, IntArray, RoundData

if TYPE_CHECKING:
    from models.blend import Share
    from models.finetune.member import FinetunedMember
    from models.finetune.model import FinetunedModel
    from models.teachers import LogisticTeacher

METHODS = {"finetuned": "full", "finetuned-lora": "lora", "finetuned-bias": "bias", "finetuned-last": "last"}
"""What a project's setting ``teacher`` may say, and the method that each stands for."""
REGROWTH = 1.3
"""By how much labels must have grown before the encoder is fine-tuned again: that takes minutes."""
LEAST_LABELS = 60
"""Before that many labels are there an encoder learns them by heart, and the head knows better."""
TRANSFER_SIZES = (6_000, 2_000)
"""Soft labels that a cold and a warm student learn from: fewer than of a head, since each takes time."""
_STEP, _PROGRESS = STEPS = ("finetuned", "finetuning")
_BEGIN, _END = 0.05, 0.2


@dataclass(frozen=True)
class Finetuned:
    """A fine-tuned teacher in a round.

    Attributes:
        model: The model; None where there are too few labels for one.
        fresh: Whether this round made it.
        predict_proba: Soft labels of rows, (n, n_classes): its own and the head's, by its share.
        metrics: JSON, to be shown with the round's.
        flops: What making it took; 0 where it was kept.
    """

    model: FinetunedModel | None
    fresh: bool
    predict_proba: Callable[[IntArray], FloatArray]
    metrics: dict[str, Any]
    flops: float


class FinetunedStep:
    """Makes or keeps one. ``data`` holds settled labels."""

    def __init__(
        self,
        data: RoundData,
        teacher_name: str,
        kept: Arrays | None,
        head: LogisticTeacher,
        checkpoints: Checkpoints,
        seed: int,
        *,
        recipe: FinetuneRecipe | None = None,
        threads: int | None = None,
    ):
        self._data, self._head, self._checkpoints, self._seed = data, head, checkpoints, seed
        self._recipe = recipe or FinetuneRecipe(method=METHODS[teacher_name])
        self._name, self._kept, self._threads = teacher_name, kept, threads

    def run(self) -> Finetuned:
        """Give what answers in this round.

        Raises:
            BadInput: The project's items are no texts.
            ModelError: An extra is missing, or the base weights cannot be used.
        """
        data = self._data
        if data.base is None:
            raise BadInput(f"The teacher {self._name!r} needs texts and the weights of an encoder: choose another one.")
        member = self._member(None)
        saved = self._checkpoints.load(_STEP)
        model, fresh = self._restored(saved), saved is not None
        if model is None:
            model = self._still_good()
        if model is None and len(data.y) >= LEAST_LABELS:
            member.fit()
            model, fresh = member.model, True
            model.report |= self._judged(model)
            self._checkpoints.save(_STEP, model.arrays())
        if model is None:
            why = f"too few labels to fine-tune an encoder: {len(data.y)} of {LEAST_LABELS}"
            return Finetuned(None, False, self._of_head, {"answers": False, "why": why}, 0.0)
        answers = bool(model.report.get("answers", True))
        metrics = {**model.report, "labels": model.n_labels, "fresh": fresh}
        answer = self._answering(self._member(model), model) if answers else self._of_head
        return Finetuned(model, fresh, answer, metrics, float(model.report["flops"]) if fresh else 0.0)

    def _member(self, kept: FinetunedModel | None) -> FinetunedMember:
        from models.finetune.member import FinetunedMember, LabelledTexts

        data = self._data
        assert data.base is not None  # noqa: S101 — looked at before

        def texts(rows: IntArray) -> Sequence[str]:
            return cast(Sequence[str], data.raw(rows))

        return FinetunedMember(
            data.base,
            LabelledTexts(texts, data.labeled_rows, data.y, data.exploration, data.n_classes),
            self._recipe,
            np.random.default_rng(self._seed),
            kept=kept,
            keeper=_Kept(self._checkpoints),
            tell=lambda done: self._checkpoints.progress(_END, f"asking the fine-tuned teacher, {done:.0%}"),
            threads=self._threads,
        )

    def _restored(self, arrays: Arrays | None) -> FinetunedModel | None:
        from models.finetune.model import FinetunedModel

        try:
            return None if arrays is None else FinetunedModel.from_arrays(arrays)
        except CorruptModel:  # it is only kept to save the time of making it again
            return None

    def _still_good(self) -> FinetunedModel | None:
        """The kept one, where it was made in this way for these classes and labels have not outgrown it."""
        model, data = self._restored(self._kept), self._data
        if model is None or data.base is None or not model.fits(data.base, self._recipe, data.n_classes):
            return None
        return model if len(data.y) < REGROWTH * model.n_labels else None

    def _judged(self, model: FinetunedModel) -> dict[str, Any]:
        """How much of the answer is its own: the least share that does as well as the best one, by a standard error.

        It is chosen on labels that neither it nor the head that it is held against learned from. Together they mostly
        do better than each alone, and the head that answers has learned from those labels as well.
        """
        from models.blend import LEAST_TESTED, choose_share
        from models.calibrate import apply_temperature
        from models.finetune.validation import calibrated_loss
        from models.teachers import LogisticTeacher

        held, data = model.held, self._data
        if len(held) < LEAST_TESTED:
            return {"answers": True, "share": 1.0, "why": "there were too few labels to compare it with the head"}
        learned = np.setdiff1d(np.arange(len(data.y)), held)
        view = data.views[self._head.view]
        head = LogisticTeacher.fit(
            view[data.labeled_rows[learned]],
            data.y[learned],
            data.n_classes,
            rng=np.random.default_rng(self._seed),
            C=self._head.C,
            pool=view,
        )
        P, y = head.predict_proba(view, data.labeled_rows[held]), data.y[held]
        P = np.asarray(apply_temperature(P, calibrated_loss(P, y)[1]), np.float32)
        share = choose_share(y, P, model.held_probabilities)
        losses = {"loss": share.member_loss, "head_loss": share.head_loss, "together_loss": share.loss}
        return {
            "answers": share.value > 0,
            "share": share.value,
            "why": _said(share),
            **{name: round(float(loss), 4) for name, loss in losses.items() if loss is not None},
        }

    def _answering(self, member: FinetunedMember, model: FinetunedModel) -> Callable[[IntArray], FloatArray]:
        """Its answers by its share; of classes that had no labels when it was made, the head's."""
        from models.blend import mix

        new = np.setdiff1d(self._head.seen, model.seen)
        share = float(model.report.get("share", 1.0))  # before there were shares it answered alone

        def answer(rows: IntArray) -> FloatArray:
            P, of_head = member.predict_proba(rows), self._of_head(rows)
            if len(new):
                P, of_new = P.copy(), of_head[:, new]
                P *= (1 - of_new.sum(axis=1, keepdims=True)) / (1 - P[:, new].sum(axis=1, keepdims=True))
                P[:, new] = of_new
            return mix(of_head, P, share)

        return answer

    def _of_head(self, rows: IntArray) -> FloatArray:
        return self._head.predict_proba(self._data.views[self._head.view], rows)


def _said(share: Share) -> str:
    """The share in words, with what it was chosen by."""
    losses = f"log-loss {share.member_loss:.3f}, the head's {share.head_loss:.3f}"
    on = f"on {share.tested} labels that neither learned"
    if not share.value:
        return f"together they are no better than the head by a standard error: {losses}, {on}"
    if share.value < 1:
        return f"it has {share.value:.0%} of the say and the head the rest: {losses}, together {share.loss:.3f}, {on}"
    return f"{losses}, {on}"


class _Kept:
    """A run's state among the round's checkpoints: arrays, so another machine goes on from them as well."""

    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def load(self) -> Arrays | None:
        return self._checkpoints.load(_PROGRESS)

    def save(self, arrays: Arrays) -> None:
        self._checkpoints.save(_PROGRESS, arrays)

    def tell(self, fraction: float, message: str) -> None:
        self._checkpoints.progress(_BEGIN + (_END - _BEGIN) * fraction, message)
