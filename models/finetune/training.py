"""Fine-tuning: labelled texts in; the best weights on the validation texts out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.finetune.base import BaseNetwork
from models.finetune.batches import LabelledTokens, LengthBatches, make_loader
from models.finetune.forward import pass_over
from models.finetune.memory import MemoryPlan, plan_memory
from models.finetune.network import Arrays, TextClassifier
from models.finetune.recipe import FinetuneRecipe, chosen_precision
from models.finetune.trainer import ArrayTrainer, TrainerCallback, notes_of, training_arguments, working_folder
from models.finetune.validation import calibrated_loss
from models.regularisation import choose_regularisation
from models.softmax import fit_softmax

_BEST = "best."
_SAVE_SECONDS, _SAVE_SHARE, _QUICK_SECONDS = 30.0, 0.05, 1.0
_PROBE_SHARE = 0.1

IntArray = NDArray[np.int64]


class Keeper(Protocol):
    """Where a run writes down how far it is, so that another attempt goes on from there."""

    def load(self) -> Arrays | None:
        """What was last saved, or None."""

    def save(self, arrays: Arrays) -> None:
        """Keep it in place of what was saved before. May raise to stop."""

    def tell(self, fraction: float, message: str) -> None:
        """Say how far it is, 0 … 1. May raise to stop; what raises goes out to the caller."""


class NoKeeper:
    """Keeps nothing."""

    def load(self) -> Arrays | None:
        """Nothing."""
        return None

    def save(self, arrays: Arrays) -> None:
        """Does nothing."""

    def tell(self, fraction: float, message: str) -> None:
        """Does nothing."""


class Run:
    """One run: a network, what it learns from, and what it is judged by."""

    def __init__(
        self,
        network: TextClassifier,
        base: BaseNetwork,
        ids: Sequence[list[int]],
        y: IntArray,
        held: IntArray,
        recipe: FinetuneRecipe,
        keeper: Keeper,
    ):
        self.network, self.base, self.recipe, self.keeper = network, base, recipe, keeper
        learned = np.setdiff1d(np.arange(len(y)), held)
        self.ids, self.y = [ids[place] for place in learned], y[learned]
        self.held_ids, self.held_y = [ids[place] for place in held], y[held]
        self.bf16 = chosen_precision(recipe.precision) == "bf16"
        self.n_classes = int(y.max()) + 1
        self.best: dict[str, NDArray[Any]] = {}
        self.notes: dict[str, Any] = {"losses": [], "best_epoch": 0, "over": False, "steps": 0, "went_on_at": []}

    def train(self, rng: np.random.Generator) -> MemoryPlan:
        """Train to the end, from what the keeper has where it has something, and leave the best weights in place."""
        seed = int(rng.integers(1 << 31))
        saved = self.keeper.load()
        if saved is None:
            self._begin(rng)
        else:
            self._go_on(saved)
        plan = self._plan()
        if not self.notes["over"]:
            with working_folder() as folder:
                data = LabelledTokens(self.ids, self.y)
                batches = LengthBatches(data.lengths, self.recipe.batch_size, plan.part, seed)
                trainer = ArrayTrainer(
                    self.network,
                    training_arguments(self.recipe, plan, folder, seed),
                    make_loader(data, batches, self.base.feed),
                    self.recipe.head_learning_rate,
                    callbacks=[_Watch(self)],
                )
                _watch_of(trainer).trainer = trainer
                trainer.run(saved)
            self.notes["over"] = True
        if self.best:
            self.network.load_weights(self.best)
        return plan

    def judge(self) -> None:
        """Note the loss on the validation texts, and keep the weights where it has never been lower."""
        if not len(self.held_y):
            return
        loss, _ = calibrated_loss(self.probabilities(self.held_ids), self.held_y)
        losses = self.notes["losses"]
        if not losses or loss < min(losses):
            self.best = self.network.weight_arrays()
            self.notes["best_epoch"] = len(losses)
        losses.append(loss)

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        epochs = len(self.notes["losses"]) - 1
        return bool(epochs - self.notes["best_epoch"] >= self.recipe.patience)

    def state(self, trainer: ArrayTrainer) -> dict[str, NDArray[Any]]:
        """All that another attempt needs."""
        return trainer.state_arrays(run=self.notes) | {f"{_BEST}{name}": array for name, array in self.best.items()}

    def probabilities(self, ids: Sequence[list[int]]) -> NDArray[np.float64]:
        """Of the classes that have labels, (n, classes)."""
        self.network.eval()
        logits = pass_over(self._logits, self.base, ids, self.n_classes, bf16=self.bf16).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def _logits(self, **inputs: Any) -> Any:
        return self.network(**inputs)["logits"]

    def _begin(self, rng: np.random.Generator) -> None:
        """Put the best head on the frozen encoder in place, and judge it: what training makes worse is not kept."""
        self.network.eval()
        rows = pass_over(
            self.network.embed,
            self.base,
            self.ids,
            self.base.dim,
            bf16=self.bf16,
            tell=lambda done: self.keeper.tell(_PROBE_SHARE * done, "reading the labelled texts"),
        )
        choice = choose_regularisation({"raw": rows}, self.y, rng=rng)
        weight, bias = fit_softmax(rows, self.y, self.n_classes, choice.C)
        self.network.set_head(weight / np.float32(choice.temperature), bias / np.float32(choice.temperature))
        self.judge()

    def _go_on(self, saved: Arrays) -> None:
        notes = notes_of(saved)
        self.notes |= notes["run"]
        self.notes["went_on_at"].append(int(notes["trainer"]["global_step"]))
        self.best = {name.removeprefix(_BEST): array for name, array in saved.items() if name.startswith(_BEST)}

    def _plan(self) -> MemoryPlan:
        longest = sorted(self.ids, key=len)[-2:]

        def probe(n: int) -> dict[str, Any]:
            import torch

            return {**self.base.feed([longest[-1]] * n), "labels": torch.zeros(n, dtype=torch.long)}

        recipe = self.recipe
        size = min(recipe.batch_size, len(self.ids))
        layers = len(self.base.layers())
        return plan_memory(self.network, probe, size, recipe.memory_mb, recipe.checkpointing, layers)


class _Watch(TrainerCallback):
    """Tells how far it is, saves now and then, judges each epoch, and ends the run when patience runs out."""

    trainer: ArrayTrainer

    def __init__(self, run: Run):
        self._run = run
        self._took = 0.0
        self._saved_at = time.monotonic()

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # At the end of an epoch it has to be judged first: another attempt would begin with the next one.
        if state.epoch == int(state.epoch):
            return
        try:
            self._tell(state)
        except Exception:
            if self._took < _QUICK_SECONDS:
                self._save()
            raise
        if self._is_due(_SAVE_SECONDS):
            self._save()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        run = self._run
        run.judge()
        run.notes["steps"] = int(state.global_step)
        if len(run.held_y) and run.is_over:
            control.should_training_stop = run.notes["over"] = True
        if self._is_due(0.0):
            self._save()
        self._tell(state)

    def _tell(self, state: Any) -> None:
        epochs = self._run.recipe.epochs
        done = _PROBE_SHARE + (1 - _PROBE_SHARE) * float(state.epoch or 0) / epochs
        self._run.keeper.tell(done, f"fine-tuning, epoch {min(epochs, int(state.epoch or 0) + 1)} of {epochs}")

    def _is_due(self, seconds: float) -> bool:
        """Whether it is so long since the last time that saving takes a small share of it."""
        return time.monotonic() - self._saved_at >= max(seconds, self._took / _SAVE_SHARE)

    def _save(self) -> None:
        began = time.monotonic()
        self._run.keeper.save(self._run.state(self.trainer))
        self._saved_at = time.monotonic()
        self._took = self._saved_at - began


def _watch_of(trainer: ArrayTrainer) -> _Watch:
    [watch] = [one for one in trainer.callback_handler.callbacks if isinstance(one, _Watch)]
    return watch
