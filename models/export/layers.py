"""A student as a list of plain layers: what a graph is built from, and what is quantised one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import nn

from models.errors import ModelError
from models.students.convnet import Block, ConvNetwork
from models.students.hashed import HashedNetwork
from models.students.mlp import MlpNetwork
from models.students.protocol import FloatArray, Network
from models.students.static import StaticNetwork


@dataclass(frozen=True)
class Table:
    """Rows of ``weight`` (rows, dim) looked up and averaged, row 0 left out; then ``bias`` (dim,) added."""

    name: str
    weight: FloatArray
    bias: FloatArray | None = None


@dataclass(frozen=True)
class Words:
    """Texts as they are → the row of a table for each of their words: ``rows`` of ``forms``; 0 for any other word."""

    name: str
    forms: list[str]
    rows: list[int]


@dataclass(frozen=True)
class Normalise:
    """Each row brought to mean 0 and variance 1, times ``gain`` plus ``shift``, each (d,). Never quantised."""

    name: str
    gain: FloatArray
    shift: FloatArray
    epsilon: float


@dataclass(frozen=True)
class Standardise:
    """(x − center) / spread, each (d,). Never quantised."""

    name: str
    center: FloatArray
    spread: FloatArray


@dataclass(frozen=True)
class Conv:
    """3 × 3 convolution, weight (out, in, 3, 3) and bias (out,), rectified and halved by taking maxima."""

    name: str
    weight: FloatArray
    bias: FloatArray


@dataclass(frozen=True)
class Dense:
    """x · weight + bias, weight (in, out), rectified where ``relu``. Maps are flattened first."""

    name: str
    weight: FloatArray
    bias: FloatArray
    relu: bool = False


Layer = Words | Table | Normalise | Standardise | Conv | Dense
Quantisable = Table | Conv | Dense
"""The layers that have weights to quantise."""


def layers_of(network: Network) -> list[Layer]:
    """The layers of a student in order; normalisations and the final scale are folded into them."""
    if isinstance(network, StaticNetwork):
        return _static(network)
    if isinstance(network, HashedNetwork):
        return _hashed(network)
    if isinstance(network, ConvNetwork):
        blocks = [_conv(f"conv{i + 1}", cast(Block, block)) for i, block in enumerate(network.blocks)]
        return [*blocks, _head(network.head, network.scale)]
    if isinstance(network, MlpNetwork):
        hidden = Dense("hidden", _numpy(network.hidden.weight).T.copy(), _numpy(network.hidden.bias), relu=True)
        return [Standardise("standardise", network.center, network.spread), hidden, _head(network.head, network.scale)]
    raise ModelError(f"There is no export for students of the family {network.family!r}.")


def _static(network: StaticNetwork) -> list[Layer]:
    words, norm = network.words.rows if network.splits_texts else {}, network.norm
    return [
        *([Words("words", list(words), list(words.values()))] if network.splits_texts else []),
        Table("table", _numpy(network.table.weight)),
        Normalise("norm", _numpy(norm.weight), _numpy(norm.bias), norm.eps),
        Dense("hidden", _numpy(network.hidden.weight).T.copy(), _numpy(network.hidden.bias), relu=True),
        _head(network.head, network.scale),
    ]


def _hashed(network: HashedNetwork) -> list[Layer]:
    table, head = _numpy(network.table.weight), _head(network.head, network.scale)
    if network.n_classes > table.shape[1]:
        return [Table("table", table), head]
    # The mean and the head are linear: with few classes their product is the smaller and the faster table.
    return [Table("table", table @ head.weight, head.bias)]


def _conv(name: str, block: Block) -> Conv:
    norm = block.norm
    if norm.running_mean is None or norm.running_var is None:
        raise ModelError("A batch normalisation without running statistics cannot be folded.")
    gain = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
    weight = _numpy(block.conv.weight) * gain[:, None, None, None]
    return Conv(name, weight, _numpy(norm.bias) - _numpy(norm.running_mean) * gain)


def _head(head: nn.Linear, scale: float) -> Dense:
    factor = np.float32(scale)
    return Dense("head", _numpy(head.weight).T * factor, _numpy(head.bias) * factor)


def _numpy(tensor: object) -> FloatArray:
    return cast(nn.Parameter, tensor).detach().numpy().astype(np.float32, copy=False)
