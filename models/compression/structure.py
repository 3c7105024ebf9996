"""Taking parts out of an encoder: layers, heads, inner units, word pieces. Weights in, fewer weights out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput
from models.minilm_graph import HEAD_WIDTH, layer_count

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Weights = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Shape:
    """How large an encoder is: layers, heads and inner units of each, word pieces, parameters."""

    layers: int
    heads: tuple[int, ...]
    units: tuple[int, ...]
    pieces: int
    parameters: int

    @classmethod
    def of(cls, weights: Weights) -> Shape:
        """The shape of some weights."""
        layers = layer_count(weights)
        attention = "encoder.layer.{}.attention.self.query.bias"
        return cls(
            layers=layers,
            heads=tuple(len(weights[attention.format(n)]) // HEAD_WIDTH for n in range(layers)),
            units=tuple(len(weights[f"encoder.layer.{n}.intermediate.dense.bias"]) for n in range(layers)),
            pieces=len(weights["embeddings.word_embeddings.weight"]),
            parameters=int(sum(value.size for value in weights.values())),
        )

    def to_dict(self) -> dict[str, object]:
        """For a manifest."""
        return asdict(self)


def keep_layers(weights: Weights, layers: Sequence[int]) -> dict[str, FloatArray]:
    """The encoder with these layers only, in ascending order (sajjad2023).

    Raises:
        BadInput: No layer, one twice, or one that is not there.
    """
    there = layer_count(weights)
    if not layers or len(set(layers)) < len(layers) or min(layers) < 0 or max(layers) >= there:
        raise BadInput(f"Layers {list(layers)} cannot be kept: the encoder has layers 0 to {there - 1}.")
    place = {layer: new for new, layer in enumerate(sorted(layers))}
    kept: dict[str, FloatArray] = {}
    for name, value in weights.items():
        if not name.startswith("encoder.layer."):
            kept[name] = value
            continue
        number, _, rest = name.removeprefix("encoder.layer.").partition(".")
        if int(number) in place:
            kept[f"encoder.layer.{place[int(number)]}.{rest}"] = value
    return kept


def spread_layers(there: int, wanted: int) -> list[int]:
    """Which of ``there`` layers to keep so that ``wanted`` stay: evenly spaced, the last one among them.

    >>> spread_layers(6, 3), spread_layers(6, 4)
    ([1, 3, 5], [0, 2, 3, 5])

    Raises:
        BadInput: More than there are, or none.
    """
    if not 1 <= wanted <= there:
        raise BadInput(f"{wanted} layers cannot be kept of {there}: give 1 to {there}.")
    return [int(np.ceil((place + 1) * there / wanted)) - 1 for place in range(wanted)]


def keep_heads(weights: Weights, heads: Sequence[IntArray]) -> dict[str, FloatArray]:
    """The encoder with these attention heads of each layer only (michel2019)."""
    kept = dict(weights)
    for layer, chosen in enumerate(heads):
        prefix = f"encoder.layer.{layer}.attention"
        rows = (np.sort(chosen)[:, None] * HEAD_WIDTH + np.arange(HEAD_WIDTH)).ravel()
        for part in ("query", "key", "value"):
            for kind in ("weight", "bias"):
                name = f"{prefix}.self.{part}.{kind}"
                kept[name] = np.ascontiguousarray(weights[name][rows])
        name = f"{prefix}.output.dense.weight"
        kept[name] = np.ascontiguousarray(weights[name][:, rows])
    return kept


def keep_units(weights: Weights, units: Sequence[IntArray]) -> dict[str, FloatArray]:
    """The encoder with these inner units of each layer's feed-forward part only."""
    kept = dict(weights)
    for layer, chosen in enumerate(units):
        rows = np.sort(chosen)
        prefix = f"encoder.layer.{layer}"
        for name in (f"{prefix}.intermediate.dense.weight", f"{prefix}.intermediate.dense.bias"):
            kept[name] = np.ascontiguousarray(weights[name][rows])
        name = f"{prefix}.output.dense.weight"
        kept[name] = np.ascontiguousarray(weights[name][:, rows])
    return kept


def keep_pieces(weights: Weights, pieces: IntArray) -> dict[str, FloatArray]:
    """The encoder that knows these word pieces only, numbered afresh in this order."""
    kept = dict(weights)
    kept["embeddings.word_embeddings.weight"] = np.ascontiguousarray(
        weights["embeddings.word_embeddings.weight"][pieces]
    )
    return kept


def most_important(importance: Sequence[NDArray[np.floating]], wanted: int, what: str) -> list[IntArray]:
    """The ``wanted`` most important places of each layer, ascending.

    >>> [places.tolist() for places in most_important([np.array([3.0, 1.0, 2.0])], 2, "heads")]
    [[0, 2]]

    Raises:
        BadInput: A layer has fewer.
    """
    fewest = min(len(layer) for layer in importance)
    if not 1 <= wanted <= fewest:
        raise BadInput(f"{wanted} {what} a layer cannot be kept: the encoder has {fewest}; give 1 to {fewest}.")
    return [np.sort(np.argsort(-layer, kind="stable")[:wanted]) for layer in importance]
