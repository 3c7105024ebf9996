"""How an encoder is fine-tuned: a method and its numbers, as plain values that can be written down and repeated."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.errors import BadInput, MissingExtra

METHODS = ("full", "lora", "bias", "last")
"""All weights; low-rank updates of them (hu2022); only their biases (zaken2022); only the last layers."""
SCHEDULES = ("linear", "cosine", "constant")
PRECISIONS = ("auto", "fp32", "bf16")
_RATES = {"full": 5e-5, "lora": 3e-4, "bias": 5e-4, "last": 5e-5}
"""Learning rates, by the loss on labels held out (docs/finetuning.md): higher ones only lost what the encoder knew."""


@dataclass(frozen=True)
class FinetuneRecipe:
    """The choices of a fine-tuning run.

    Attributes:
        method: One of `METHODS`.
        epochs: Passes over the labelled texts at most.
        learning_rate: Peak of the schedule; by the method where None.
        head_learning_rate: The same for the head, which begins as the best one on the frozen encoder.
        batch_size: Texts for one step. Where they do not fit into the memory at once, gradients are accumulated.
        memory_mb: What weights, gradients, moments and activations may take together, in megabytes.
        warmup: Share of the steps in which the rate rises.
        schedule: How it falls after that, one of `SCHEDULES`.
        weight_decay: Of AdamW, on matrices.
        label_smoothing: Share of each label that is spread over all classes.
        max_tokens: Longer texts are cut; less where the encoder reads less.
        patience: Epochs without a lower loss on the validation texts after which it ends.
        precision: ``bf16`` autocast, ``fp32``, or ``auto``: the former where the processor has instructions for it.
        checkpointing: Whether activations are computed again in the backward pass; None: where they do not fit.
        rank: Of the updates of LoRA.
        alpha: What they are scaled by, over ``rank``.
        adapter_dropout: Of LoRA.
        last_layers: How many layers ``last`` trains.

    Raises:
        BadInput: A value is out of its range; the message names it.
    """

    method: str = "full"
    epochs: int = 6
    learning_rate: float | None = None
    head_learning_rate: float = 1e-4
    batch_size: int = 16
    memory_mb: int = 1_500
    warmup: float = 0.1
    schedule: str = "linear"
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    max_tokens: int = 128
    patience: int = 3
    precision: str = "auto"
    checkpointing: bool | None = None
    rank: int = 16
    alpha: int = 32
    adapter_dropout: float = 0.05
    last_layers: int = 2

    def __post_init__(self) -> None:
        for name, value, known in (
            ("method", self.method, METHODS),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise BadInput(f"{name} must be one of {', '.join(known)}, not {value!r}.")
        for name in ("epochs", "batch_size", "memory_mb", "max_tokens", "patience", "rank", "alpha", "last_layers"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("warmup", "label_smoothing", "adapter_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise BadInput(f"{name} must lie in 0 … 1, without 1, not {getattr(self, name)}.")
        if not self.rate > 0 or not self.head_learning_rate > 0 or not self.weight_decay >= 0:
            raise BadInput("Learning rates must be above 0, and weight_decay must not be below.")

    @property
    def rate(self) -> float:
        """The peak learning rate of the encoder's weights."""
        return _RATES[self.method] if self.learning_rate is None else self.learning_rate

    def with_rate_of_method(self) -> FinetuneRecipe:
        """The same with its learning rate spelt out."""
        return replace(self, learning_rate=self.rate)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self.with_rate_of_method())

    def digest(self) -> str:
        """SHA-256 in hex over all values: weights that another recipe trained are not this one's."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


def require_extra(method: str) -> None:
    """Whether what fine-tuning needs is installed: transformers' Trainer stands on accelerate, which peft brings.

    Raises:
        MissingExtra: It is not.
    """
    needed = ("accelerate", "peft") if method == "lora" else ("accelerate",)
    if any(importlib.util.find_spec(name) is None for name in needed):
        raise MissingExtra(f"Fine-tuning ({method})", "peft")


def chosen_precision(precision: str) -> str:
    """``bf16`` or ``fp32``.

    ``auto`` asks the processor for AVX-512 BF16 or AMX: without either of them bf16 is many times slower than fp32
    (``python -m bench.finetune`` prints by how much).
    """
    if precision != "auto":
        return precision
    import torch

    abilities = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    able = any(bool(getattr(torch.cpu, name, bool)()) for name in abilities)
    return "bf16" if able else "fp32"
