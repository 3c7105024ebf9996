"""Repairing a pruned encoder layer by layer, in closed form: what is left takes over what was taken out.

One pass over some hundred texts brings back most of what layers, heads and units cost, in seconds; only then is it
worth training (`models.compression.recovery`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.compression.network import EncoderNetwork, Weights, padded
from models.errors import BadInput
from models.length_batches import length_batches
from models.threads import torch_threads

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

States = Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
"""By batch: the pruned encoder's states and the whole one's, each (texts, length, width), and what of them is text."""

_RIDGE = 1e-2
"""Share of the mean square of the inputs by which weights are held to what they were."""


def reconstruct(
    weights: Weights,
    whole: Weights,
    pieces: Sequence[IntArray],
    *,
    layers: Sequence[int] | None = None,
    threads: int = 1,
) -> dict[str, FloatArray]:
    """Fit the outgoing weights of heads and inner units anew, so that each layer gives what the whole encoder's gave.

    From the first layer to the last, each by ridge regression on all tokens, with the pruned encoder's own states as
    the input, so that a layer also makes up for those before it (kwon2022), and for whole layers that were taken out
    between that one and itself.

    Args:
        weights: The pruned encoder.
        whole: The encoder that it was.
        pieces: Word pieces of some hundred texts, special ones included; they mean the same to both.
        layers: Of the whole encoder, ascending: the one whose states each layer is to give. None where all are there.
        threads: Of torch.

    Raises:
        BadInput: No texts, or layers are missing.
    """
    if not len(pieces):
        raise BadInput("Reconstruction needs texts of the pool, and there are none.")
    small, large = EncoderNetwork(weights), EncoderNetwork(whole)
    aims = list(range(large.layers) if layers is None else layers)
    if small.layers != len(aims) or aims != sorted(set(aims)) or not set(aims) <= set(range(large.layers)):
        raise BadInput(f"{small.layers} layers cannot be fitted to the layers {aims} of {large.layers}.")
    with torch_threads(threads), torch.inference_mode():
        texts = [padded([pieces[row] for row in rows]) for rows in length_batches(np.array([len(p) for p in pieces]))]
        states: States = [(small.embedded(ids), large.embedded(ids), mask) for ids, mask in texts]
        passed = 0
        for layer, aim in enumerate(aims):
            for between in range(passed, aim):
                states = [(x, large.transformed(target, mask, between), mask) for x, target, mask in states]
            states = _layer_fitted(small, large, states, layer, aim)
            passed = aim + 1
        return small.weights()


def _layer_fitted(small: EncoderNetwork, large: EncoderNetwork, states: States, layer: int, aim: int) -> States:
    """Fit both products that a layer gives out; from the states before it, in both encoders, to those after it."""
    prefix = f"encoder.layer.{layer}"
    wanted = [large.mixed(x, large.attended(x, mask, aim), aim) for _, x, mask in states]
    given = [small.attended(x, mask, layer) for x, _, mask in states]
    _fit(small, f"{prefix}.attention.output", states, given, wanted)
    states = [
        (small.mixed(x, y, layer), target, mask) for (x, _, mask), y, target in zip(states, given, wanted, strict=True)
    ]
    wanted = [large.outer(x, large.inner(x, aim), aim) for _, x, _ in states]
    given = [small.inner(x, layer) for x, _, _ in states]
    _fit(small, f"{prefix}.output", states, given, wanted)
    return [
        (small.outer(x, y, layer), target, mask) for (x, _, mask), y, target in zip(states, given, wanted, strict=True)
    ]


def _fit(
    network: EncoderNetwork,
    prefix: str,
    states: States,
    given: Sequence[torch.Tensor],
    wanted: Sequence[torch.Tensor],
) -> None:
    """Change one outgoing product so that residual and product, normalised, are nearest to the wanted states."""
    tensors = {part: network.tensors[f"{prefix}.{part}".replace(".", "/")] for part in ("dense.weight", "dense.bias")}
    gain, shift = (network.tensors[f"{prefix}.LayerNorm.{part}".replace(".", "/")] for part in ("weight", "bias"))
    weight, bias = tensors["dense.weight"], tensors["dense.bias"]
    size = weight.shape[1] + 1
    gram = torch.zeros(size, size, dtype=torch.float64)
    cross = torch.zeros(size, weight.shape[0], dtype=torch.float64)
    for (x, _, mask), y, target in zip(states, given, wanted, strict=True):
        text = mask.bool()
        rows, residual, goal = y[text], x[text], (target[text] - shift) / gain
        now = residual + rows @ weight.T + bias
        # What comes out is normalised: the goal is put on the scale that this token's sum has.
        middle, spread = now.mean(1, keepdim=True), now.std(1, keepdim=True, unbiased=False)
        error = goal * spread + middle - now
        rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
        gram += (rows.T @ rows).double()
        cross += (rows.T @ error).double()
    held = _RIDGE * float(torch.diagonal(gram).mean()) * torch.eye(size, dtype=torch.float64)
    change = torch.linalg.solve(gram + held, cross).float()
    weight.add_(change[:-1].T)
    bias.add_(change[-1])
