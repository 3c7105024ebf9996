# ruff: noqa: D102 (Network says what each method does)
"""Ready-made features: standardise → one hidden layer → linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import BadInput
from models.optimisers import AdamW
from models.students.protocol import Arrays, FloatArray, Inputs, IntArray, Network, RawItem, Task, unseeded

_HIDDEN = 128
_NOISE = 0.1  # of a standard deviation


@dataclass(frozen=True)
class Vectors:
    """Feature vectors (n, d) in standard units."""

    X: FloatArray

    def __len__(self) -> int:
        return len(self.X)

    def batch(self, rows: IntArray, noise: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
        """Vectors (b, d); with noise, jittered a little."""
        X = self.X[rows]
        if noise is not None:
            X += _NOISE * noise.standard_normal(X.shape, np.float32)
        return (torch.from_numpy(X),)


class MlpNetwork(Network):
    """A hidden layer of rectified units over standardised features."""

    family: ClassVar[str] = "mlp"
    task: ClassVar[Task] = "features"
    epochs: ClassVar[int] = 20

    def __init__(self, center: FloatArray, spread: FloatArray, n_classes: int, hidden: int = _HIDDEN):
        super().__init__()
        self.center, self.spread = center, spread
        with unseeded():
            self.hidden = nn.Linear(len(center), hidden)
            self.head = nn.Linear(hidden, n_classes)

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> MlpNetwork:
        """Centre and spread of each feature are the pool's; a constant feature keeps the spread 1."""
        X = _stack(items)
        spread = X.std(0, dtype=np.float64)
        spread[spread < 1e-7 * np.maximum(1.0, np.abs(X).max(0))] = 1.0
        network = cls(X.mean(0, dtype=np.float64).astype(np.float32), spread.astype(np.float32), n_classes)
        with torch.no_grad():
            for layer in (network.hidden, network.head):
                layer.weight.normal_(0.0, (2.0 / layer.in_features) ** 0.5, generator=generator)
                layer.bias.zero_()
        return network

    @classmethod
    def restore(cls, arrays: Arrays) -> MlpNetwork:
        hidden, dim = arrays["hidden.weight"].shape
        center, spread = (np.array(arrays[name], np.float32) for name in ("center", "spread"))
        if center.shape != (dim,) or spread.shape != (dim,):
            raise ValueError(f"center {center.shape} and spread {spread.shape} for {dim} features")
        head = len(arrays["head.bias"]), hidden
        if arrays["head.weight"].shape != head:  # before a layer of that size is made
            raise ValueError(f"a head of shape {arrays['head.weight'].shape} where {head} is needed")
        network = cls(center, spread, len(arrays["head.bias"]), hidden)
        network.load_state_dict({k: torch.from_numpy(np.array(arrays[k], np.float32)) for k in network.state_dict()})
        network.scale = float(arrays["scale"][0])
        return network

    @property
    def n_classes(self) -> int:
        return self.head.out_features

    def prepare(self, items: Sequence[RawItem]) -> Vectors:
        X = _stack(items)
        if len(X) == 0:
            X = X.reshape(0, len(self.center))
        if X.shape[1] != len(self.center):
            raise BadInput(f"Items have {X.shape[1]} features, the student reads {len(self.center)}.")
        return Vectors((X - self.center) / self.spread)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(torch.relu(self.hidden(X)))
        return logits

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        return [AdamW(self.parameters(), lr=1e-3 if warm else 3e-3, weight_decay=0.01)]

    def arrays(self) -> dict[str, NDArray[Any]]:
        weights = {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}
        settings = {"center": self.center, "spread": self.spread, "scale": np.array([self.scale], np.float32)}
        return {**settings, **weights}

    def preprocess(self) -> dict[str, Any] | None:
        return None

    def flops(self, inputs: Inputs) -> float:
        return 2.0 * len(cast(Vectors, inputs)) * (self.hidden.weight.numel() + self.head.weight.numel())


def _stack(items: Sequence[RawItem]) -> FloatArray:
    try:
        X = np.asarray(items, np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput("Feature vectors must be numbers, all of one length.") from error
    if len(X) and X.ndim != 2:
        raise BadInput(f"Feature vectors make an array of shape {X.shape}, (n, d) is needed.")
    if not np.isfinite(X).all():
        raise BadInput(f"Item {int(np.flatnonzero(~np.isfinite(X).all(1))[0])} has NaN or infinity among its features.")
    return X
