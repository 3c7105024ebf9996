"""What a family of students must offer, so that one loop trains, one saves and one exports them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from models.trunks import Trunk

RawItem = str | bytes | NDArray[np.float32]
"""A text, an encoded image, or a feature vector (d,)."""

Task = Literal["text", "image", "features"]
Arrays = Mapping[str, NDArray[Any]]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]


class Inputs(Protocol):
    """Items made ready once, from which batches are cut again and again."""

    def __len__(self) -> int:
        """How many items there are."""
        ...

    def batch(self, rows: IntArray, noise: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
        """The arguments of the network for these rows; with ``noise``, lightly augmented."""
        ...


class Network(torch.nn.Module):
    """The trainable part of a student: raw items to logits, its arrays, and how it wants to be trained."""

    family: ClassVar[str]
    task: ClassVar[Task]
    epochs: ClassVar[int]
    """Passes over the transfer set of a cold start."""
    batch_size: ClassVar[int] = 128
    reads_features: ClassVar[Literal["never", "cold", "always"]] = "never"
    """When training asks for the teacher's features of the items: never, where it starts cold, or always."""
    most_steps: ClassVar[int] = 2_000
    """Of one training; a large transfer set is passed over less often."""
    matches: ClassVar[bool] = False
    """Whether it has `states` that can be matched with the teacher's features."""
    growth: ClassVar[float] = 1.0
    """How far labels must have grown for another training, where one takes long."""
    most_transfer: ClassVar[int] = 1_000_000
    """Most soft labels that it learns from at once."""
    scale: float = 1.0
    """What the logits are multiplied by in use, so that a student of sharpened labels is as sure as its teacher."""

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> Network:
        """A fresh network that is to read ``items``, its shape decided from them."""
        raise NotImplementedError

    def begin_from(self, inputs: Inputs, features: ArrayLike) -> None:
        """Before a cold start: take what the teacher's features (n, d) of the first n items say; by default nothing."""

    @classmethod
    def cut(cls, trunk: Trunk, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> Network:
        """A fresh network out of an encoder's lower layers; one that is not made so does without them."""
        return cls.create(items, n_classes, generator)

    @classmethod
    def restore(cls, arrays: Arrays) -> Network:
        """A network from its arrays; raises KeyError or ValueError where they are not this family's."""
        raise NotImplementedError

    @property
    def n_classes(self) -> int:
        """Width of the output."""
        raise NotImplementedError

    def prepare(self, items: Sequence[RawItem]) -> Inputs:
        """Turn raw items into what batches are cut from; raises BadInput naming an item that cannot be used."""
        raise NotImplementedError

    def states(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """What stands after each layer, (b, d) each, where ``matches``; the last is what its head reads."""
        raise NotImplementedError

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        """What trains it, with the learning rates to start from."""
        raise NotImplementedError

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that `restore` needs, weights and settings."""
        raise NotImplementedError

    def preprocess(self) -> dict[str, Any] | None:
        """What preprocess.json must say, or None where the graph does everything."""
        raise NotImplementedError

    def flops(self, inputs: Inputs) -> float:
        """Multiplications and additions of one forward pass over all items."""
        raise NotImplementedError


def unseeded() -> AbstractContextManager[None]:
    """For making layers: the first weights that torch draws for them, which are overwritten, leave no trace.

    Without it every network made would advance torch's global generator.
    """
    guard: AbstractContextManager[None] = torch.random.fork_rng(devices=[])
    return guard
