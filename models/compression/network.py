"""A sentence encoder in torch, of whatever shape its weights have: what pruning looks into and recovery trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.length_batches import length_batches
from models.minilm_graph import HEAD_WIDTH, layer_count, loudness

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Weights = Mapping[str, FloatArray]
Gates = Mapping[str, torch.Tensor]
"""By ``layerN.heads`` (texts, heads) or ``layerN.units`` (texts, units): what each is multiplied by in each text."""

_EPSILON = 1e-12
#: What the published checkpoints carry beside the encoder proper.
_UNUSED = ("pooler.", "embeddings.position_ids")


class EncoderNetwork(nn.Module):
    """The encoder of `models.minilm_graph.build_graph`, differentiable: pieces in, normalised embeddings out."""

    def __init__(self, weights: Weights):
        super().__init__()
        kept = {name: value for name, value in weights.items() if not name.startswith(_UNUSED)}
        self.tensors = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.from_numpy(np.array(value, np.float32))) for name, value in kept.items()}
        )
        self.layers = layer_count(kept)
        self.bits: int | None = None
        self._quieter: dict[str, torch.Tensor] = {}
        self._seen: dict[str, list[torch.Tensor]] | None = None

    def fake_quantise(self, bits: int | None, amplitudes: Mapping[str, FloatArray] | None = None) -> None:
        """From here on compute as the INT8 graph will: rounded weights and activations, gradients as if not rounded.

        Args:
            bits: Of the weights; None ends it.
            amplitudes: As for `models.minilm_graph.build_graph`.
        """
        self.bits = bits
        self._quieter = {name: torch.from_numpy(loudness(a)) for name, a in (amplitudes or {}).items()}

    def weights(self) -> dict[str, FloatArray]:
        """The tensors by their names, copied."""
        return {_name(key): cast(FloatArray, value.detach().numpy().copy()) for key, value in self.tensors.items()}

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, gates: Gates | None = None) -> torch.Tensor:
        """Embeddings of unit length, (texts, width), of pieces (texts, length) right-padded with mask 0."""
        x = self.states(ids, mask, gates)
        column = mask[..., None].to(x.dtype)
        mean = (x * column).sum(1) / column.sum(1)
        return nn.functional.normalize(mean.float(), dim=1)

    def states(self, ids: torch.Tensor, mask: torch.Tensor, gates: Gates | None = None) -> torch.Tensor:
        """The last layer's states, (texts, length, width)."""
        gates = gates or {}
        x = self.embedded(ids)
        self._watch("embedded.normed", x, mask)
        for layer in range(self.layers):
            y = self.attended(x, mask, layer)
            if (gate := gates.get(f"layer{layer}.heads")) is not None:
                y = (y.reshape(*y.shape[:2], -1, HEAD_WIDTH) * gate[:, None, :, None]).flatten(2)
            self._watch(f"layer{layer}.attended", y, mask)
            x = self.mixed(x, y, layer)
            self._watch(f"layer{layer}.attention", x, mask)
            y = self.inner(x, layer)
            if (gate := gates.get(f"layer{layer}.units")) is not None:
                y = y * gate[:, None, :]
            self._watch(f"layer{layer}.gelu", y, mask)
            x = self.outer(x, y, layer)
            self._watch(f"layer{layer}.output", x, mask)
        return x

    def transformed(self, x: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
        """A layer's states at its end, from those before it, (texts, length, width)."""
        x = self.mixed(x, self.attended(x, mask, layer), layer)
        return self.outer(x, self.inner(x, layer), layer)

    def embedded(self, ids: torch.Tensor) -> torch.Tensor:
        """What goes into the first layer, (texts, length, width)."""
        words = self._get("embeddings.word_embeddings.weight")
        if self.bits is not None:
            words = _rounded_rows(words, self.bits)
        placed = self._get("embeddings.position_embeddings.weight")[: ids.shape[1]]
        x = nn.functional.embedding(ids, words) + placed + self._get("embeddings.token_type_embeddings.weight")[0]
        return self._norm(x, "embeddings.LayerNorm")

    def attended(self, x: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
        """What the heads of a layer give, side by side, (texts, length, heads × their width)."""
        seen = f"layer{layer - 1}.output" if layer else "embedded.normed"

        def heads(part: str) -> torch.Tensor:
            y = self._dense(x, seen, f"encoder.layer.{layer}.attention.self.{part}")
            return y.view(*y.shape[:2], -1, HEAD_WIDTH).transpose(1, 2)

        attends = mask[:, None, None, :].bool()
        y = nn.functional.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), attn_mask=attends)
        return y.transpose(1, 2).flatten(2)

    def mixed(self, x: torch.Tensor, y: torch.Tensor, layer: int) -> torch.Tensor:
        """A layer's states after its attention, from those before it and from what its heads gave."""
        prefix = f"encoder.layer.{layer}.attention.output"
        return self._norm(x + self._dense(y, f"layer{layer}.attended", f"{prefix}.dense"), f"{prefix}.LayerNorm")

    def inner(self, x: torch.Tensor, layer: int) -> torch.Tensor:
        """What the inner units of a layer give, (texts, length, units)."""
        y = self._dense(x, f"layer{layer}.attention", f"encoder.layer.{layer}.intermediate.dense")
        return nn.functional.gelu(y)

    def outer(self, x: torch.Tensor, y: torch.Tensor, layer: int) -> torch.Tensor:
        """A layer's states at its end, from those after its attention and from what its inner units gave."""
        prefix = f"encoder.layer.{layer}.output"
        return self._norm(x + self._dense(y, f"layer{layer}.gelu", f"{prefix}.dense"), f"{prefix}.LayerNorm")

    def ranges(self, pieces: Sequence[IntArray]) -> dict[str, tuple[FloatArray, FloatArray]]:
        """Smallest and largest value of each channel of every activation that a product reads, over some texts."""
        self._seen = {}
        try:
            with torch.inference_mode():
                for rows in length_batches(np.array([len(ids) for ids in pieces])):
                    self(*padded([pieces[row] for row in rows]))
            found = self._seen
        finally:
            self._seen = None
        return {name: (low.numpy(), high.numpy()) for name, (low, high) in found.items()}

    def _dense(self, x: torch.Tensor, seen: str, name: str) -> torch.Tensor:
        bias = self._get(f"{name}.bias")
        if _key(f"{name}.weight.thin") in self.tensors:
            thin = self._product(x, seen, self._get(f"{name}.weight.thin"), None)
            return self._product(thin, "", self._get(f"{name}.weight.wide"), bias)
        return self._product(x, seen, self._get(f"{name}.weight"), bias)

    def _product(self, x: torch.Tensor, seen: str, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if self.bits is not None:
            quieter = self._quieter.get(seen)
            if quieter is not None:
                x, weight = x / quieter, weight * quieter
            x, weight = _rounded(x), _rounded_rows(weight, self.bits)
        return nn.functional.linear(x, weight, bias)

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        gain = self._get(f"{name}.weight")
        return nn.functional.layer_norm(x, gain.shape, gain, self._get(f"{name}.bias"), _EPSILON)

    def _get(self, name: str) -> torch.Tensor:
        return cast(torch.Tensor, self.tensors[_key(name)])

    def _watch(self, name: str, x: torch.Tensor, mask: torch.Tensor) -> None:
        if self._seen is None:
            return
        rows = x[mask.bool()]
        low, high = rows.min(0).values, rows.max(0).values
        before = self._seen.get(name)
        self._seen[name] = [low, high] if before is None else [before[0].minimum(low), before[1].maximum(high)]


def padded(pieces: Sequence[IntArray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces side by side, (texts, longest), filled up with 0, and what of it is text."""
    ids = np.zeros((len(pieces), max(len(row) for row in pieces)), np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(pieces):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def embed(network: EncoderNetwork, pieces: Sequence[IntArray]) -> FloatArray:
    """Embeddings of unit length, (n, width), of the pieces of n texts, special ones included."""
    lengths = np.array([len(ids) for ids in pieces])
    width = network.tensors[_key("embeddings.LayerNorm.weight")].shape[0]
    out = np.zeros((len(pieces), width), np.float32)
    with torch.inference_mode():
        for rows in length_batches(lengths):
            out[rows] = network(*padded([pieces[row] for row in rows])).numpy()
    return out


def amplitudes_of(ranges: Mapping[str, tuple[FloatArray, FloatArray]]) -> dict[str, FloatArray]:
    """The largest absolute value of each channel, from its smallest and largest value."""
    return {name: np.maximum(np.abs(low), np.abs(high)) for name, (low, high) in ranges.items()}


def _rounded_rows(weight: torch.Tensor, bits: int) -> torch.Tensor:
    """What `models.minilm_graph.quantise_rows` leaves of a matrix; the gradient passes through (bengio2013)."""
    largest = 2 ** (bits - 1) - 1
    scale = weight.detach().abs().amax(1, keepdim=True).clamp_min(1e-12) / largest
    return cast(torch.Tensor, weight + (torch.round(weight.detach() / scale) * scale - weight.detach()))


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Activations on 256 levels of one range that holds zero; the gradient passes through."""
    fixed = x.detach()
    low, high = fixed.amin().clamp(max=0), fixed.amax().clamp(min=0)
    step = (high - low).clamp_min(1e-8) / 255
    zero = torch.round(-low / step)
    levels = (torch.round(fixed / step) + zero).clamp(0, 255) - zero
    return x + (levels * step - fixed)


def _key(name: str) -> str:
    return name.replace(".", "/")  # a parameter's name must not have dots


def _name(key: str) -> str:
    return key.replace("/", ".")
