"""A fine-tuned encoder: made from labelled texts, answers for texts, goes to arrays and comes back from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput, CorruptModel, ModelError
from models.finetune.base import Base, BaseNetwork
from models.finetune.forward import Tell, nobody, pass_over
from models.finetune.recipe import FinetuneRecipe, chosen_precision, require_extra
from models.regularisation import UNSEEN_PROBABILITY

_WEIGHTS, _NOTES = "weights.", "notes"

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass
class FinetunedModel:
    """Answers for texts.

    Attributes:
        recipe: How it was made.
        base_digest: Of the base weights.
        weights: What training moved, float16, by name: all else is the base's.
        seen: The classes that had labels, ascending.
        n_classes: All classes; those without labels get `UNSEEN_PROBABILITY`.
        n_labels: How many labels it was made from, those it was judged by included.
        temperature: What logits are divided by.
        held: Places, among the labels, that it did not learn from.
        held_probabilities: Its answers there, (len(held), n_classes).
        report: JSON: trained weights, epochs, losses, memory, FLOPs.
    """

    recipe: FinetuneRecipe
    base_digest: str
    weights: dict[str, NDArray[np.float16]]
    seen: IntArray
    n_classes: int
    n_labels: int
    temperature: float
    held: IntArray
    held_probabilities: FloatArray
    report: dict[str, Any] = field(default_factory=dict)
    _network: Any = None
    _base: BaseNetwork | None = None

    @classmethod
    def fit(
        cls,
        base: Base,
        texts: Sequence[str],
        y: IntArray,
        n_classes: int,
        exploration: NDArray[np.bool_] | None = None,
        *,
        recipe: FinetuneRecipe,
        rng: np.random.Generator,
        keeper: Any = None,
        threads: int | None = None,
    ) -> FinetunedModel:
        """Fine-tune on labelled texts.

        Args:
            base: The weights to begin from.
            texts: Shape (n,).
            y: Their classes, (n,), in 0 … n_classes - 1.
            n_classes: How many classes the project has.
            exploration: Which texts were drawn uniformly, (n,); none where None.
            recipe: How.
            rng: All randomness.
            keeper: A `models.finetune.training.Keeper`; keeps nothing where None. What it had saved must be of the same
                texts, recipe and generator.
            threads: How many torch may use; all cores but one where None.

        Raises:
            MissingExtra: What fine-tuning needs is not installed.
            BadInput: Fewer than two classes have labels, shapes do not fit, or not one text fits into the memory.
            UnusableModel: The base cannot be loaded, or has no weights that the method trains.
        """
        require_extra(recipe.method)
        y = np.asarray(y, np.int64)
        if len(texts) != len(y) or y.ndim != 1:
            raise BadInput(f"There must be a class for each text, not {len(y)} for {len(texts)}.")
        if len(y) and (y.min() < 0 or y.max() >= n_classes):
            raise BadInput(f"Classes must lie in 0 … {n_classes - 1}.")
        seen, targets = np.unique(y, return_inverse=True)
        if len(seen) < 2:
            raise BadInput("Fine-tuning needs labels of at least two classes: label more items first.")
        from models.finetune.fitting import fit_model

        return fit_model(base, list(texts), targets, seen, n_classes, exploration, recipe, rng, keeper, threads)

    def predict_proba(
        self, base: Base, texts: Sequence[str], *, tell: Tell = nobody, threads: int | None = None
    ) -> FloatArray:
        """Probabilities of all classes, (n, n_classes) float32, rows sum to 1.

        Args:
            base: The weights that it was made from.
            texts: Shape (n,).
            tell: Is told how far it is, between batches.
            threads: How many torch may use; all cores but one where None.

        Raises:
            BadInput: The base is another one.
        """
        from models.threads import torch_threads

        network, loaded = self._loaded(base, threads)
        bf16 = chosen_precision(self.recipe.precision) == "bf16"
        with torch_threads(loaded.threads):
            logits = pass_over(network, loaded, loaded.read(texts), len(self.seen), bf16=bf16, tell=tell)
        return spread(logits / self.temperature, self.seen, self.n_classes)

    def fits(self, base: Base, recipe: FinetuneRecipe, n_classes: int) -> bool:
        """Whether it was made from that base, in that way, for so many classes."""
        return (self.base_digest, self.recipe.digest(), self.n_classes) == (base.digest, recipe.digest(), n_classes)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything there is to save, by name; `from_arrays` gives back the same model, bit for bit."""
        notes = {
            "recipe": self.recipe.to_dict(),
            "base": self.base_digest,
            "n_classes": self.n_classes,
            "n_labels": self.n_labels,
            "temperature": self.temperature,
            "report": self.report,
        }
        return {
            **{f"{_WEIGHTS}{name}": array for name, array in self.weights.items()},
            "seen": self.seen,
            "held": self.held,
            "held_probabilities": self.held_probabilities,
            _NOTES: np.frombuffer(json.dumps(notes).encode(), np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> FinetunedModel:
        """The model whose `arrays` these are; raises CorruptModel where something is missing."""
        try:
            notes = json.loads(np.asarray(arrays[_NOTES], np.uint8).tobytes())
            return cls(
                recipe=FinetuneRecipe(**notes["recipe"]),
                base_digest=str(notes["base"]),
                weights={k.removeprefix(_WEIGHTS): v for k, v in arrays.items() if k.startswith(_WEIGHTS)},
                seen=np.asarray(arrays["seen"], np.int64),
                n_classes=int(notes["n_classes"]),
                n_labels=int(notes["n_labels"]),
                temperature=float(notes["temperature"]),
                held=np.asarray(arrays["held"], np.int64),
                held_probabilities=np.asarray(arrays["held_probabilities"], np.float32),
                report=dict(notes["report"]),
            )
        except (KeyError, ValueError, TypeError, ModelError) as problem:
            raise CorruptModel("A fine-tuned encoder's state", f"it is incomplete ({problem})") from problem

    def _loaded(self, base: Base, threads: int | None) -> tuple[Any, BaseNetwork]:
        if self._network is None or self._base is None:
            from models.finetune.fitting import load_logits

            if base.digest != self.base_digest:
                raise BadInput("The fine-tuned encoder was made from other base weights: train it again.")
            self._network, self._base = load_logits(self, base, threads)
        return self._network, self._base


def spread(logits: NDArray[np.floating], seen: IntArray, n_classes: int) -> FloatArray:
    """Probabilities of all classes, (n, n_classes), from the logits of those that have labels.

    >>> spread(np.zeros((1, 2)), np.array([0, 2]), 3).round(6).tolist()
    [[0.49999898672103882, 9.999999974752427e-07, 0.49999898672103882]]
    """
    weights = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True, initial=-np.inf))
    out = np.full((len(logits), n_classes), UNSEEN_PROBABILITY, np.float32)
    share = 1 - (n_classes - len(seen)) * UNSEEN_PROBABILITY
    out[:, seen] = share * weights / weights.sum(axis=1, keepdims=True)
    return out
