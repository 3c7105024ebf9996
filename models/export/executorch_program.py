"""Students as ExecuTorch programs: a small torch module, exported and lowered, its products left to XNNPACK.

A program plans its memory for the largest batch that it may be given, so batches are small here, and whoever runs it
parts larger ones (`predictor/executorch_runtime.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.errors import MissingExtra, ModelError
from models.export.layers import Conv, Dense, Layer, Normalise, Standardise, Table
from models.library_noise import without_noise
from models.students.protocol import FloatArray

MOST_IDS = 4_096
"""Words (or words and pairs of them, or pieces) of a text that a program reads."""
_TEXTS, _VECTORS, _IMAGES = 16, 64, 1  # items at once; of more than one image the lowering forgets the bound itself


def build_executorch(layers: Sequence[Layer], shape: Sequence[int | str]) -> bytes:
    """The bytes of a ``model.pte``: one input of ``shape`` (words: any number up to a bound), probabilities out.

    Raises:
        MissingExtra: executorch is not installed.
        ModelError: a kind of layer that has no form in it.
    """
    module = _Program(layers).eval()
    given, open_sides = _example(layers, shape)
    with without_noise():
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
        except ImportError as error:
            raise MissingExtra("Export to ExecuTorch", "executorch") from error
        with torch.no_grad():
            exported = torch.export.export(module, (given,), dynamic_shapes=(open_sides,))
        program = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    return bytes(program.buffer)


def _example(layers: Sequence[Layer], shape: Sequence[int | str]) -> tuple[Tensor, dict[int, Any]]:
    """An input to trace with, and the sides of it that are open; more than one item, or the number would be fixed."""
    if isinstance(layers[0], Table):
        sides = {0: torch.export.Dim("items", min=1, max=_TEXTS), 1: torch.export.Dim("ids", min=1, max=MOST_IDS)}
        return torch.ones(2, 3, dtype=torch.int64), sides
    rest = [int(side) for side in shape[1:]]
    if isinstance(layers[0], Conv):
        return torch.zeros(_IMAGES, *rest), {}
    return torch.zeros(2, *rest), {0: torch.export.Dim("items", min=1, max=_VECTORS)}


class _Program(nn.Module):
    """The layers one after the other, then softmax."""

    def __init__(self, layers: Sequence[Layer]):
        super().__init__()
        self.steps = nn.Sequential(*map(_step, layers))

    def forward(self, value: Tensor) -> Tensor:
        return torch.softmax(self.steps(value), 1)


def _step(layer: Layer) -> nn.Module:
    for kind, step in _STEPS.items():
        if isinstance(layer, kind):
            made: nn.Module = step(layer)
            return made
    raise ModelError(f"A layer of the kind {type(layer).__name__} has no form in ExecuTorch; use onnx-int8 or onnx.")


class _Step(nn.Module):
    """A layer; its arrays are constants of the program."""

    def keep(self, **arrays: FloatArray) -> None:
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.array(array, np.float32, order="C")))


class _Lookup(_Step):
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Table):
        super().__init__()
        self.keep(weight=layer.weight)
        self.has_bias = layer.bias is not None
        if layer.bias is not None:
            self.keep(bias=layer.bias)

    def forward(self, ids: Tensor) -> Tensor:
        count = (ids > 0).to(torch.float32).sum(1, keepdim=True).clamp(min=1)
        mean = nn.functional.embedding(ids, self.weight).sum(1) / count
        return mean + self.bias if self.has_bias else mean


class _Evened(_Step):
    gain: Tensor
    shift: Tensor

    def __init__(self, layer: Normalise):
        super().__init__()
        self.keep(gain=layer.gain, shift=layer.shift)
        self.epsilon = layer.epsilon

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.layer_norm(value, self.gain.shape, self.gain, self.shift, self.epsilon)


class _Standardised(_Step):
    center: Tensor
    factor: Tensor

    def __init__(self, layer: Standardise):
        super().__init__()
        self.keep(center=layer.center, factor=np.float32(1) / layer.spread)

    def forward(self, value: Tensor) -> Tensor:
        return (value - self.center) * self.factor


class _Convolved(_Step):
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Conv):
        super().__init__()
        self.keep(weight=layer.weight, bias=layer.bias)

    def forward(self, value: Tensor) -> Tensor:
        rectified = nn.functional.relu(nn.functional.conv2d(value, self.weight, self.bias, padding=1))
        return nn.functional.max_pool2d(rectified, 2)


class _Multiplied(_Step):
    weight: Tensor
    bias: Tensor

    def __init__(self, layer: Dense):
        super().__init__()
        self.keep(weight=layer.weight.T, bias=layer.bias)
        self.relu = layer.relu

    def forward(self, value: Tensor) -> Tensor:
        value = nn.functional.linear(value.flatten(1), self.weight, self.bias)
        return nn.functional.relu(value) if self.relu else value


_STEPS: dict[type[Any], Any] = {
    Table: _Lookup,
    Normalise: _Evened,
    Standardise: _Standardised,
    Conv: _Convolved,
    Dense: _Multiplied,
}
