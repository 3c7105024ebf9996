"""Recovery: a pruned encoder learns its old self's embeddings again, on texts of the pool that need no labels."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from models.compression.network import EncoderNetwork, Weights, padded
from models.errors import BadInput
from models.threads import torch_threads

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

RATE = 3e-4
"""Of AdamW after structure was taken out."""
FINE_RATE = 5e-5
"""Of AdamW where only precision was."""
_BATCH = 8
"""Texts of a step: few, since passes over a pool are few too, and many small steps come further in one."""
_LEAST_RATE = 0.02
_WARM_UP = 0.05
#: Embeddings, normalised, do not learn from their table: words that the pool does not have would stay behind.
_FROZEN = "embeddings/word_embeddings"


@dataclass(frozen=True)
class RecoveryReport:
    """How it went.

    Attributes:
        texts: Learned from.
        steps: Of the optimiser.
        cosine_before: Mean cosine with the teacher's embeddings over the first tenth of the steps.
        cosine_after: Over the last tenth.
        seconds: Wall time.
        precision: ``bf16`` or ``fp32``.
    """

    texts: int
    steps: int
    cosine_before: float
    cosine_after: float
    seconds: float
    precision: str

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)


def recover(
    weights: Weights,
    pieces: Sequence[IntArray],
    embeddings: FloatArray,
    *,
    rng: np.random.Generator,
    epochs: float = 2,
    rate: float = RATE,
    bits: int | None = None,
    amplitudes: Mapping[str, FloatArray] | None = None,
    masks: Mapping[str, NDArray[np.bool_]] | None = None,
    threads: int = 1,
    progress: Callable[[float], None] = lambda done: None,
) -> tuple[dict[str, FloatArray], RecoveryReport]:
    """Train an encoder to give the embeddings that a larger one gave (hinton2015, reimers2019).

    Args:
        weights: The encoder as it is after something was taken out.
        pieces: Word pieces of n texts, special ones included.
        embeddings: What the larger encoder gave for them, (n, width), of unit length.
        rng: The order of the texts.
        epochs: Passes over them; parts of one count too.
        rate: The highest learning rate.
        bits: Train as the quantised graph will compute (quantisation-aware training, jacob2018).
        amplitudes: As for `EncoderNetwork.fake_quantise`.
        masks: By tensor, where it may be other than zero: what magnitude pruning took out stays out.
        threads: Of torch.
        progress: Told the share that is done.

    Raises:
        BadInput: No texts, or not as many embeddings.
    """
    if not len(pieces) or len(pieces) != len(embeddings):
        raise BadInput(f"Recovery needs texts with an embedding each, not {len(pieces)} with {len(embeddings)}.")
    started = time.perf_counter()
    with torch_threads(threads):
        network = EncoderNetwork(weights)
        network.fake_quantise(bits, amplitudes)
        network.tensors[f"{_FROZEN}/weight"].requires_grad_(False)
        target = torch.from_numpy(np.ascontiguousarray(embeddings, np.float32))
        held = {name.replace(".", "/"): torch.from_numpy(mask) for name, mask in (masks or {}).items()}
        batches = _batches([len(ids) for ids in pieces], epochs, rng)
        cosines = _train(network, pieces, target, batches, rate, held, progress)
    tenth = max(1, len(cosines) // 10)
    report = RecoveryReport(
        texts=len(pieces),
        steps=len(cosines),
        cosine_before=float(np.mean(cosines[:tenth])),
        cosine_after=float(np.mean(cosines[-tenth:])),
        seconds=round(time.perf_counter() - started, 2),
        precision="bf16" if has_bf16() else "fp32",
    )
    return network.weights(), report


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 by itself; others only imitate it, slowly."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("avx512_bf16") or can.get("amx_bf16") or can.get("arm_bf16"))


def _train(
    network: EncoderNetwork,
    pieces: Sequence[IntArray],
    target: torch.Tensor,
    batches: Sequence[IntArray],
    rate: float,
    held: Mapping[str, torch.Tensor],
    progress: Callable[[float], None],
) -> list[float]:
    """One step a batch; returns the mean cosine of each batch before its step."""
    free = [tensor for tensor in network.tensors.values() if tensor.requires_grad]
    optimiser = torch.optim.AdamW(free, lr=rate, weight_decay=0.0)
    cosines: list[float] = []
    for step, rows in enumerate(batches):
        for group in optimiser.param_groups:
            group["lr"] = rate * _share_of_rate(step / len(batches))
        with _autocast():
            given = network(*padded([pieces[row] for row in rows]))
        cosine = (given * target[torch.from_numpy(rows)]).sum(1).mean()
        optimiser.zero_grad()
        cast(Any, 1 - cosine).backward()
        torch.nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        with torch.no_grad():
            for name, mask in held.items():
                network.tensors[name].mul_(mask)
        cosines.append(float(cosine.detach()))
        progress((step + 1) / len(batches))
    return cosines


def _autocast() -> AbstractContextManager[Any]:
    if not has_bf16():
        return contextlib.nullcontext()
    context: AbstractContextManager[Any] = torch.autocast("cpu", torch.bfloat16)
    return context


def _share_of_rate(done: float) -> float:
    if done < _WARM_UP:
        return max(_LEAST_RATE, done / _WARM_UP)
    return max(_LEAST_RATE, 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP))))


def _batches(lengths: Sequence[int], epochs: float, rng: np.random.Generator) -> list[IntArray]:
    """Rows of each step: of like length, so that little padding is computed, in a random order."""
    batches: list[IntArray] = []
    for epoch in range(math.ceil(epochs)):
        # Lengths are shaken a little, so that no text always meets the same others.
        order = np.argsort(np.array(lengths) * rng.uniform(0.8, 1.25, len(lengths)), kind="stable")
        parts = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        parts = [parts[place] for place in rng.permutation(len(parts))]
        batches += parts[: math.ceil(min(1.0, epochs - epoch) * len(parts))]
    return batches
