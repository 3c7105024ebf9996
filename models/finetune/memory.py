"""How many texts fit into the memory at once, found by counting what the backward pass has to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models.errors import BadInput

_MB = 1e6
_BESIDE = 4
"""A gradient, AdamW's two moments and the best value so far, for each weight that is trained."""


@dataclass(frozen=True)
class MemoryPlan:
    """What fits.

    Attributes:
        part: Texts at once; gradients of several parts are added up for one batch.
        checkpointing: Whether activations are computed again in the backward pass.
        megabytes: What weights, what is kept beside those that are trained, and activations of the longest texts take
            with it. What libraries need for themselves is not in it.
    """

    part: int
    checkpointing: bool
    megabytes: float


def plan_memory(
    network: Any,
    probe: Callable[[int], dict[str, torch.Tensor]],
    batch_size: int,
    megabytes: float,
    checkpointing: bool | None,
    layers: int,
) -> MemoryPlan:
    """The largest part of a batch that fits: the batch, or it halved again and again.

    Where not even one text fits, activations are computed again in the backward pass, layer by layer, which costs a
    third more time (chen2016).

    Args:
        network: Gives ``loss`` for what ``probe`` gives; has ``activation_checkpointing_enable``.
        probe: The longest texts, so many of them.
        batch_size: Texts of one step.
        megabytes: The limit.
        checkpointing: True for always, False for never, None for where it must be.
        layers: How many blocks the network has.

    Raises:
        BadInput: Not even one text fits.
    """
    fixed = _bytes_of_weights(network)
    one, two = (float(kept_bytes(network, probe(n))) for n in (1, 2))
    needed = 0.0
    for again in (False, True) if checkpointing is None else (checkpointing,):
        if again:
            network.activation_checkpointing_enable({"use_reentrant": False})
            # What is kept between layers, and the one layer that is being computed again.
            one, two = (kept_bytes(network, probe(n)) + kept / layers for n, kept in ((1, one), (2, two)))
        each, part = max(two - one, 1), batch_size
        while part > 1 and fixed + one + (part - 1) * each > megabytes * _MB:
            part = -(-part // 2)
        needed = (fixed + one + (part - 1) * each) / _MB
        if needed <= megabytes:
            return MemoryPlan(part, again, needed)
    raise BadInput(
        f"Fine-tuning needs about {needed:.0f} MB for one text at a time, and may take {megabytes:.0f}: raise "
        "memory_mb, lower max_tokens, or train fewer weights (lora, bias, last)."
    )


def kept_bytes(network: nn.Module, inputs: dict[str, torch.Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward one, weights not counted; the random state stays as it was."""
    weights = {weights.untyped_storage().data_ptr() for weights in network.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    was_training = network.training
    network.train()
    with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = network(**inputs)["loss"]
    network.train(was_training)
    del loss
    return sum(kept.values())


def _bytes_of_weights(network: nn.Module) -> int:
    total = 0
    for weights in network.parameters():
        size = weights.numel() * weights.element_size()
        total += size * (1 + (_BESIDE if weights.requires_grad else 0))
    return total
