"""What heads and inner units do for the embeddings of a pool: how far these would move without each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.compression.network import EncoderNetwork, padded
from models.compression.structure import Shape, Weights
from models.errors import BadInput
from models.length_batches import length_batches

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Importance:
    """By layer: of its heads, each (heads,), and of its inner units, each (units,)."""

    heads: list[NDArray[np.float64]]
    units: list[NDArray[np.float64]]


def measure_importance(weights: Weights, pieces: Sequence[IntArray], rng: np.random.Generator) -> Importance:
    """The diagonal of the Gauss–Newton matrix of ½‖embedding − that of the whole encoder‖² (michel2019, lecun1990).

    The plain gradient says nothing, since at the start there is no error. Instead, for a random direction v of each
    text, the square of the derivative of v · embedding by each gate is taken: on average over directions, the squared
    length of how the embedding answers to that gate.

    Args:
        weights: The encoder.
        pieces: Word pieces of some hundred texts of the pool, special ones included.
        rng: Draws the directions.

    Raises:
        BadInput: No texts.
    """
    if not len(pieces):
        raise BadInput("Importance is measured on texts of the pool, and there are none.")
    network, shape = EncoderNetwork(weights), Shape.of(weights)
    network.requires_grad_(False)
    totals = {f"layer{n}.heads": np.zeros(heads) for n, heads in enumerate(shape.heads)}
    totals |= {f"layer{n}.units": np.zeros(units) for n, units in enumerate(shape.units)}
    for rows in length_batches(np.array([len(ids) for ids in pieces])):
        gates = {name: torch.ones(len(rows), len(total), requires_grad=True) for name, total in totals.items()}
        embedding = network(*padded([pieces[row] for row in rows]), gates)
        directions = rng.standard_normal(tuple(embedding.shape), dtype=np.float32)
        answer = (embedding * torch.from_numpy(directions)).sum()
        for name, slope in zip(gates, torch.autograd.grad(answer, list(gates.values())), strict=True):
            totals[name] += (slope.double() ** 2).sum(0).numpy()
    return Importance(
        [totals[f"layer{n}.heads"] / len(pieces) for n in range(shape.layers)],
        [totals[f"layer{n}.units"] / len(pieces) for n in range(shape.layers)],
    )
