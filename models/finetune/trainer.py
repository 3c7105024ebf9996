"""transformers' Trainer, with its checkpoints as arrays: no pickle is written, and whoever calls keeps them.

The Trainer wants a folder all the same. It gets a temporary one, for the one small JSON file that it goes on from.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from models.finetune.batches import EpochLoader
from models.finetune.memory import MemoryPlan
from models.finetune.network import HEAD
from models.finetune.recipe import FinetuneRecipe, chosen_precision
from models.library_noise import without_noise

with without_noise():  # loading the Trainer loads torchao, where that is
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

__all__ = ["ArrayTrainer", "TrainerCallback", "notes_of", "training_arguments", "working_folder"]

WEIGHTS, OPTIMISER, RANDOM, NOTES = "weights.", "optimiser.", "random", "notes"
_STATE_FILE = "trainer_state.json"
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}

Arrays = Mapping[str, NDArray[Any]]


class ArrayTrainer(Trainer):
    """Trains what of a network is trainable; its state comes and goes as arrays (`state_arrays`, ``saved``)."""

    def __init__(self, network: Any, arguments: TrainingArguments, loader: EpochLoader, head_rate: float, **how: Any):
        super().__init__(model=network, args=arguments, **how)
        for printing in (PrinterCallback, ProgressCallback):
            self.remove_callback(printing)
        self._loader, self._head_rate = loader, head_rate
        self._saved: Arrays = {}

    def run(self, saved: Arrays | None) -> None:
        """Train to the end; from the beginning, or from what `state_arrays` gave at the end of a step."""
        if saved is None:
            self.train()
            return
        self._saved = saved
        (Path(str(self.args.output_dir)) / _STATE_FILE).write_text(json.dumps(notes_of(saved)["trainer"]), "utf-8")
        self.train(resume_from_checkpoint=str(self.args.output_dir))

    def state_arrays(self, **notes: Any) -> dict[str, NDArray[Any]]:
        """All that is needed to go on as if nothing had happened."""
        network, schedule = cast(Any, self.model), cast(Any, self.lr_scheduler)
        arrays = {f"{WEIGHTS}{name}": array for name, array in network.weight_arrays().items()}
        optimiser = cast(Any, self.optimizer).state_dict()
        for place, moments in optimiser["state"].items():
            arrays |= {f"{OPTIMISER}{place}.{name}": value.numpy().copy() for name, value in moments.items()}
        arrays[RANDOM] = torch.get_rng_state().numpy().copy()
        trainer = {**dataclasses.asdict(self.state), "log_history": [], "stateful_callbacks": {}}
        about = {
            "trainer": trainer,
            "groups": optimiser["param_groups"],
            "schedule": schedule.state_dict(),
            **notes,
        }
        arrays[NOTES] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        return arrays

    def get_train_dataloader(self) -> Any:
        """Ours, which knows lengths and epochs."""
        return self._loader

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW, with a rate of its own for the head."""
        if self.optimizer is None:
            named = list(cast(Any, self.model).trainable().items())
            groups = []
            for of_head in (False, True):
                for decays in (True, False):
                    chosen = [w for name, w in named if (name.startswith(HEAD)) is of_head and (w.ndim > 1) is decays]
                    rate = self._head_rate if of_head else self.args.learning_rate
                    decay = self.args.weight_decay if decays else 0.0
                    if chosen:
                        groups.append({"params": chosen, "weight_decay": decay, "lr": rate})
            self.optimizer = torch.optim.AdamW(groups)
        return self.optimizer

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        cast(Any, self.model).load_weights(self._saved, WEIGHTS)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        notes = notes_of(self._saved)
        state: dict[int, dict[str, Any]] = {}
        for key, array in self._saved.items():
            if key.startswith(OPTIMISER):
                place, _, name = key.removeprefix(OPTIMISER).partition(".")
                state.setdefault(int(place), {})[name] = torch.from_numpy(np.array(array))
        cast(Any, self.optimizer).load_state_dict({"state": state, "param_groups": notes["groups"]})
        cast(Any, self.lr_scheduler).load_state_dict(notes["schedule"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            torch.set_rng_state(torch.from_numpy(np.array(self._saved[RANDOM], np.uint8)))


def notes_of(saved: Arrays) -> dict[str, Any]:
    """What was written down beside the arrays."""
    notes: dict[str, Any] = json.loads(np.asarray(saved[NOTES], np.uint8).tobytes())
    return notes


def training_arguments(recipe: FinetuneRecipe, plan: MemoryPlan, folder: str, seed: int) -> TrainingArguments:
    """A recipe as the Trainer takes it: on the processor, quiet, and without files of its own."""
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=recipe.epochs,
        learning_rate=recipe.rate,
        per_device_train_batch_size=plan.part,
        gradient_accumulation_steps=-(-recipe.batch_size // plan.part),
        warmup_steps=recipe.warmup,
        lr_scheduler_type=_SCHEDULES[recipe.schedule],
        weight_decay=recipe.weight_decay,
        bf16=chosen_precision(recipe.precision) == "bf16",
        seed=seed,
        data_seed=seed,
        save_strategy="no",
        logging_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        accelerator_config={"even_batches": False},
    )


def working_folder() -> tempfile.TemporaryDirectory[str]:
    """The folder that the Trainer wants, gone afterwards."""
    return tempfile.TemporaryDirectory(prefix="winnow-finetune-")
