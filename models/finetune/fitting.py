"""The steps that turn labelled texts into a fine-tuned model, and a saved one into a network; loads torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature
from models.finetune.base import Base, BaseNetwork
from models.finetune.memory import MemoryPlan
from models.finetune.model import FinetunedModel, spread
from models.finetune.network import TextClassifier
from models.finetune.recipe import FinetuneRecipe, chosen_precision
from models.finetune.seeds import borrowed_seeds
from models.finetune.training import Keeper, NoKeeper, Run
from models.finetune.validation import calibrated_loss, validation_rows
from models.threads import torch_threads

IntArray = NDArray[np.int64]


def fit_model(
    base: Base,
    texts: list[str],
    targets: IntArray,
    seen: IntArray,
    n_classes: int,
    exploration: NDArray[np.bool_] | None,
    recipe: FinetuneRecipe,
    rng: np.random.Generator,
    keeper: Keeper | None,
    threads: int | None,
) -> FinetunedModel:
    """What `FinetunedModel.fit` does; ``targets`` are places in ``seen``."""
    explored = np.zeros(len(targets), bool) if exploration is None else np.asarray(exploration, bool)
    split_rng, run_rng = rng.spawn(2)
    held = validation_rows(targets, explored, split_rng)
    loaded = BaseNetwork(base, max_tokens=recipe.max_tokens, threads=threads)
    with torch_threads(loaded.threads), borrowed_seeds(int(run_rng.integers(1 << 31))):
        network = TextClassifier(loaded, len(seen), recipe)
        ids = loaded.read(texts)
        run = Run(network, loaded, ids, targets, held, recipe, keeper or NoKeeper())
        plan = run.train(run_rng)
        # In half the bytes, and used as it is stored: what a later round loads answers as this one does.
        weights = network.weight_arrays(np.float16)
        network.load_weights(weights)
        temperature, answers = 1.0, np.zeros((0, n_classes), np.float32)
        if len(held):
            P = run.probabilities(run.held_ids)
            _, temperature = calibrated_loss(P, run.held_y)
            answers = spread(np.log(np.maximum(apply_temperature(P, temperature), 1e-12)), seen, n_classes)
    report = _report(run, ids, held, plan, sum(array.size for array in weights.values()))
    return FinetunedModel(
        recipe, base.digest, weights, seen, n_classes, len(targets), temperature, held, answers, report
    )


def _report(run: Run, ids: list[list[int]], held: IntArray, plan: MemoryPlan, trained: int) -> dict[str, Any]:
    """What a run did, as JSON can hold it; ``trained`` is how many weights it moved."""
    recipe, losses = run.recipe, run.notes["losses"]
    tokens = sum(len(ids[place]) for place in np.setdiff1d(np.arange(len(ids)), held))
    epochs = len(losses) - 1 if len(held) else recipe.epochs
    return {
        "method": recipe.method,
        "base": run.base.name,
        "precision": chosen_precision(recipe.precision),
        "trained_weights": trained,
        "all_weights": sum(w.numel() for w in run.network.parameters()),
        "learned_from": len(ids) - len(held),
        "validated_on": len(held),
        "epochs": epochs,
        "steps": run.notes["steps"],
        "went_on_at": run.notes["went_on_at"],
        "best_epoch": run.notes["best_epoch"] if len(held) else recipe.epochs,
        "validation_losses": [round(loss, 4) for loss in losses],
        "texts_at_once": plan.part,
        "checkpointing": plan.checkpointing,
        "memory_mb": round(plan.megabytes),
        "flops": float(epochs * tokens * _flops_a_token(run.network, trained)),
    }


def load_logits(model: FinetunedModel, base: Base, threads: int | None) -> tuple[Callable[..., Any], BaseNetwork]:
    """What gives logits (n, seen) for a padded batch, and what pads it."""
    loaded = BaseNetwork(base, max_tokens=model.recipe.max_tokens, threads=threads)
    with borrowed_seeds(0):  # what adapters and the head begin as is drawn, and then overwritten
        network = TextClassifier(loaded, len(model.seen), model.recipe)
    network.load_weights(model.weights)
    network.eval()
    return (lambda **inputs: network(**inputs)["logits"]), loaded


def _flops_a_token(network: TextClassifier, trained: int) -> float:
    """Two for each weight in the forward pass, two in the backward one, and two more for those that are trained."""
    from torch import nn

    tables = sum(m.weight.numel() for m in network.modules() if isinstance(m, nn.Embedding))
    used = sum(w.numel() for w in network.parameters()) - tables
    return 4.0 * used + 2.0 * min(trained, used)
