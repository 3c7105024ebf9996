# ruff: noqa: D102 (Network says what each method does)
"""Images: a small convolutional net, its depth decided by the size of the pool's images."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.decoded import DecodedImages
from models.errors import BadInput
from models.optimisers import AdamW
from models.students.protocol import Arrays, FloatArray, Inputs, IntArray, Network, RawItem, Task, unseeded
from predictor.images import normalise, open_image

_SIZES = (8, 48)  # smallest and largest side that the net sees
_LOOKED_AT = 256  # images of the pool that decide size, colour, mean and spread
_DECODED = DecodedImages()
_WIDTHS = {1: (16,), 2: (16, 32), 3: (8, 16, 32), 4: (8, 16, 32, 48)}  # channels of so many blocks


@dataclass(frozen=True)
class Pixels:
    """Normalised images (n, channels, height, width)."""

    X: FloatArray

    def __len__(self) -> int:
        return len(self.X)

    def batch(self, rows: IntArray, noise: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
        """Images (b, c, h, w); with noise, each shifted by up to a twelfth of its side, edges repeated."""
        X = self.X[rows]
        if noise is not None:
            reach = max(1, X.shape[2] // 12)
            down, right = noise.integers(-reach, reach + 1, (2, len(X)))
            height = np.clip(np.arange(X.shape[2]) - down[:, None], 0, X.shape[2] - 1)
            width = np.clip(np.arange(X.shape[3]) - right[:, None], 0, X.shape[3] - 1)
            each = np.arange(len(X))[:, None, None, None]
            channel = np.arange(X.shape[1])[None, :, None, None]
            X = X[each, channel, height[:, None, :, None], width[:, None, None, :]]
        # Channels last: twice as fast on a CPU.
        return (torch.from_numpy(np.ascontiguousarray(X)).contiguous(memory_format=torch.channels_last),)


class Block(nn.Module):
    """Convolution 3 × 3 → batch normalisation → halved → rectified."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Maps (b, n_in, h, w) → (b, n_out, h / 2, w / 2)."""
        return torch.relu(nn.functional.max_pool2d(self.norm(self.conv(X)), 2))


class ConvNetwork(Network):
    """Blocks until the map is 2 to 3 pixels wide, then a linear layer over all of it."""

    family: ClassVar[str] = "convnet"
    task: ClassVar[Task] = "image"
    epochs: ClassVar[int] = 16
    batch_size: ClassVar[int] = 64
    most_steps: ClassVar[int] = 600

    def __init__(self, mode: str, size: tuple[int, int], mean: FloatArray, std: FloatArray, n_classes: int):
        super().__init__()
        if mode not in ("L", "RGB") or min(size) < _SIZES[0] or mean.shape != std.shape:
            raise ValueError(f"mode {mode!r}, size {size}, mean {mean.shape}, std {std.shape}")
        self.mode, self.size, self.mean, self.std = mode, size, mean, std
        side = min(size)
        n_blocks = 1
        while side >> (n_blocks + 1) >= 2 and n_blocks < max(_WIDTHS):
            n_blocks += 1
        channels = [len(mean), *_WIDTHS[n_blocks]]
        with unseeded():
            self.blocks = nn.ModuleList(Block(a, b) for a, b in itertools.pairwise(channels))
            self.head = nn.Linear(channels[-1] * (size[0] >> n_blocks) * (size[1] >> n_blocks), n_classes)
        self.blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does take it

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> ConvNetwork:
        """Size and colour are those of most images of the pool, the sides within 8 to 48 pixels."""
        mode, size = _look_at(_images(items[:: max(1, len(items) // _LOOKED_AT)]))
        sample = _decode(items[:: max(1, len(items) // _LOOKED_AT)], mode, size).astype(np.float64) / 255.0
        mean = sample.mean((0, 2, 3))
        std = np.maximum(sample.std((0, 2, 3)), 1e-3)
        network = cls(mode, size, mean.astype(np.float32), std.astype(np.float32), n_classes)
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    fan_in = module.weight[0].numel()
                    module.weight.normal_(0.0, (2.0 / fan_in) ** 0.5, generator=generator)
            network.head.weight *= 0.5
            network.head.bias.zero_()
        return network

    @classmethod
    def restore(cls, arrays: Arrays) -> ConvNetwork:
        height, width = (int(side) for side in arrays["size"])
        if max(height, width) > _SIZES[1]:  # before a layer of that size is made
            raise ValueError(f"images of {height} × {width} are larger than any student sees")
        mean, std = (np.array(arrays[name], np.float32) for name in ("mean", "std"))
        if len(mean) not in (1, 3) or len(arrays["head.weight"]) != len(arrays["head.bias"]):
            raise ValueError(f"{len(mean)} channels, {arrays['head.weight'].shape} weights of the head")
        network = cls("L" if len(mean) == 1 else "RGB", (height, width), mean, std, len(arrays["head.bias"]))
        state = network.state_dict()
        network.load_state_dict({k: torch.from_numpy(np.array(arrays[k])).to(v.dtype) for k, v in state.items()})
        network.scale = float(arrays["scale"][0])
        return network

    @property
    def n_classes(self) -> int:
        return self.head.out_features

    def prepare(self, items: Sequence[RawItem]) -> Pixels:
        return Pixels(normalise(_decode(items, self.mode, self.size), self.mean.tolist(), self.std.tolist()))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            X = block(X)
        logits: torch.Tensor = self.head(X.flatten(1))
        return logits

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        return [AdamW(self.parameters(), lr=2e-3 if warm else 1e-2, weight_decay=0.01)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        weights = {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}
        settings = {"size": np.array(self.size, np.int64), "mean": self.mean, "std": self.std}
        return {**settings, "scale": np.array([self.scale], np.float32), **weights}

    def preprocess(self) -> dict[str, Any] | None:
        return {
            "kind": "pixels",
            "mode": self.mode,
            "size": list(self.size),
            "mean": [float(value) for value in self.mean],
            "std": [float(value) for value in self.std],
        }

    def flops(self, inputs: Inputs) -> float:
        height, width = self.size
        per_item = 2.0 * self.head.weight.numel()
        for depth, block in enumerate(self.blocks):
            per_item += 2.0 * cast(Block, block).conv.weight.numel() * (height >> depth) * (width >> depth)
        return per_item * len(cast(Pixels, inputs))


def _images(items: Sequence[RawItem]) -> list[bytes]:
    for index, item in enumerate(items):
        if not isinstance(item, bytes):
            raise BadInput(f"Item {index} is no encoded image but {type(item).__name__}.")
    return cast(list[bytes], list(items))


def _decode(items: Sequence[RawItem], mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    out = np.empty((len(items), 1 if mode == "L" else 3, *size), np.uint8)
    for index, data in enumerate(_images(items)):
        try:
            out[index] = _DECODED.get(data, mode=mode, size=size)
        except ValueError as error:
            raise BadInput(f"Item {index}: {error}.") from error
    return out


def _look_at(images: Sequence[bytes]) -> tuple[str, tuple[int, int]]:
    """Mode and size (height, width) for a pool: colour where any image has some, the median of the sides."""
    coloured, sides = False, []
    for data in images:
        try:
            image = open_image(data)
        except ValueError as error:
            raise BadInput(f"An image of the pool cannot be read: {error}.") from error
        sides.append((image.height, image.width))
        if not coloured:
            coloured = bool((np.ptp(np.asarray(image, np.int16), axis=2) > 8).mean() > 0.001)
    median = np.median(sides, axis=0)
    # Shrink a large image with its proportions kept; the net then needs no more than four blocks.
    median *= min(1.0, _SIZES[1] / median.max())
    height, width = (int(max(_SIZES[0], round(side))) for side in median)
    return "RGB" if coloured else "L", (height, width)
