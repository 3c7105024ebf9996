"""Batches for training: texts of about the same length together, in an order that a seed and the epoch determine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

IntArray = NDArray[np.int64]
_TOGETHER = 16


class LabelledTokens(Dataset[tuple[list[int], int]]):
    """Tokens of texts and what is to be learned of each."""

    def __init__(self, ids: Sequence[list[int]], y: IntArray):
        self.ids, self.y = list(ids), np.asarray(y, np.int64)
        self.lengths = np.array([len(row) for row in ids], np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> tuple[list[int], int]:
        return self.ids[place], int(self.y[place])


class LengthBatches(Sampler[list[int]]):
    """Each epoch deals all rows anew: batches of ``size`` of about the same length, in random order, a short one last.

    Each is handed out in parts of ``part`` rows, whose gradients are added up: what is learned does not hang on the
    memory that there is.
    """

    def __init__(self, lengths: IntArray, size: int, part: int, seed: int):
        self._lengths, self._size, self._part, self._seed = lengths, size, part, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """What the next pass is; transformers' Trainer says it."""
        self._epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(len(self._lengths), self._size)
        return full * -(-self._size // self._part) + -(-rest // self._part)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._lengths))
        whole = len(order) - len(order) % self._size
        batches: list[IntArray] = []
        stretch = self._size * _TOGETHER
        for start in range(0, whole, stretch):
            rows = order[start : min(whole, start + stretch)]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += [rows[first : first + self._size] for first in range(0, len(rows), self._size)]
        shuffled = [batches[place] for place in rng.permutation(len(batches))]
        for batch in [*shuffled, *([order[whole:]] if whole < len(order) else [])]:
            for first in range(0, len(batch), self._part):
                yield batch[first : first + self._part].tolist()


class EpochLoader(DataLoader[Any]):
    """A loader whose batches know the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Pass it on."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def make_loader(
    data: LabelledTokens, batches: LengthBatches, feed: Callable[[Sequence[list[int]]], dict[str, Any]]
) -> EpochLoader:
    """Batches as the network takes them: ``input_ids``, ``attention_mask``, ``labels``."""

    def collate(rows: list[tuple[list[int], int]]) -> dict[str, Any]:
        ids, y = zip(*rows, strict=True)
        return {**feed(ids), "labels": torch.tensor(y, dtype=torch.long)}

    return EpochLoader(data, batch_sampler=batches, collate_fn=collate)
