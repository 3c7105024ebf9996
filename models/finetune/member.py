"""The fine-tuned encoder as a member of a round's teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import NotFitted
from models.finetune.base import Base
from models.finetune.forward import Tell, nobody
from models.finetune.model import FinetunedModel
from models.finetune.recipe import FinetuneRecipe

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledTexts:
    """What is learned from.

    Attributes:
        texts: Gives the texts of rows of the pool, in their order.
        rows: The labelled rows, (n,).
        y: Their classes, (n,).
        exploration: Which of them were drawn uniformly, (n,).
        n_classes: How many classes the project has.
    """

    texts: Callable[[IntArray], Sequence[str]]
    rows: IntArray
    y: IntArray
    exploration: NDArray[np.bool_]
    n_classes: int


class FinetunedMember:
    """An encoder that is fine-tuned on the labelled texts; satisfies the protocol of a teacher's members.

    Answers are kept by row: a round asks about the same rows again and again, and each answer costs milliseconds.
    """

    name = "finetuned"

    def __init__(
        self,
        base: Base,
        labelled: LabelledTexts,
        recipe: FinetuneRecipe,
        rng: np.random.Generator,
        *,
        kept: FinetunedModel | None = None,
        keeper: Any = None,
        tell: Tell = nobody,
        threads: int | None = None,
    ):
        """Nothing is trained yet.

        Args:
            base: The weights to begin from.
            labelled: What is learned from.
            recipe: How.
            rng: All randomness; what `fit` gives does not hang on whether `cross_fitted` was called before.
            kept: A model of an earlier round that answers until `fit` is called.
            keeper: A `models.finetune.training.Keeper` for `fit`.
            tell: Hears how far `predict_proba` is; may raise to stop.
            threads: How many torch may use; all cores but one where None.
        """
        self._base, self._labelled, self._recipe = base, labelled, recipe
        self._fit_rng, self._cross_rng = rng.spawn(2)
        self._keeper, self._tell, self._threads = keeper, tell, threads
        self._model = kept
        self._answers: dict[int, FloatArray] = {}

    @property
    def model(self) -> FinetunedModel:
        """What answers; raises NotFitted before there is anything."""
        if self._model is None:
            raise NotFitted("The fine-tuned encoder")
        return self._model

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """Probabilities of each labelled row by a model that did not learn from its fold, (n, n_classes).

        Each fold is a run of its own, as long as `fit`. Rows of fold -1 are NaN, and so are those of a fold without
        which fewer than two classes have labels.
        """
        labelled = self._labelled
        out = np.full((len(labelled.y), labelled.n_classes), np.nan, np.float32)
        for fold in np.unique(folds[folds >= 0]).tolist():
            rng = self._cross_rng.spawn(1)[0]
            learned, tested = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            if len(np.unique(labelled.y[learned])) < 2:
                continue
            model = self._trained(learned, rng, None)
            out[tested] = model.predict_proba(
                self._base, self._texts(labelled.rows[tested]), tell=self._tell, threads=self._threads
            )
        return out

    def fit(self) -> None:
        """Fine-tune on all labelled rows."""
        self._model = self._trained(np.arange(len(self._labelled.y)), self._fit_rng, self._keeper)
        self._answers = {}

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Probabilities of rows of the pool, (len(rows), n_classes) float32, rows sum to 1; raises NotFitted."""
        model = self.model
        new = np.array([row for row in dict.fromkeys(rows.tolist()) if row not in self._answers], np.int64)
        if len(new):
            texts = self._texts(new)
            found = model.predict_proba(self._base, texts, tell=self._tell, threads=self._threads)
            self._answers.update(zip(new.tolist(), found, strict=True))
        if not len(rows):
            return np.zeros((0, self._labelled.n_classes), np.float32)
        return np.stack([self._answers[row] for row in rows.tolist()])

    def _trained(self, places: IntArray, rng: np.random.Generator, keeper: Any) -> FinetunedModel:
        labelled = self._labelled
        return FinetunedModel.fit(
            self._base,
            self._texts(labelled.rows[places]),
            labelled.y[places],
            labelled.n_classes,
            labelled.exploration[places],
            recipe=self._recipe,
            rng=rng,
            keeper=keeper,
            threads=self._threads,
        )

    def _texts(self, rows: IntArray) -> list[str]:
        # What is no text at all is an empty one, as for the encoder.
        return [text if isinstance(text, str) else "" for text in self._labelled.texts(rows)]
