# ruff: noqa: D102 (Network says what each method does)
"""Texts: hashed words and word pairs → embedding bag (mean) → linear.

The hashing is the predictor's, so that training and serving cannot drift apart. There is neither a hidden layer nor a
normalisation: with some thousand texts to learn from, both lost a point or two against the plain mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import BadInput
from models.optimisers import Adam
from models.students.bag import Bag, RowAdam
from models.students.protocol import Arrays, Inputs, IntArray, Network, RawItem, Task, unseeded
from models.text_memo import TextMemo
from predictor.hashing import hash_texts

_WORD_DROPOUT = 0.3
_MEMO = TextMemo(64 << 20)
"""Of this process: a round's warm student reads texts that the one before it has read."""


@dataclass(frozen=True)
class HashedTexts:
    """The table rows of each text, one after the other."""

    ids: IntArray
    counts: IntArray
    starts: IntArray

    @classmethod
    def read(
        cls, texts: Sequence[str], look_up: Callable[[Sequence[str]], tuple[IntArray, IntArray]], reader: str
    ) -> HashedTexts:
        """Texts as ``look_up`` gives them: ids, text after text, and how many each has.

        What texts were read to is kept under ``reader``, which says how ``look_up`` reads.
        """

        def bags(fresh: Sequence[str]) -> list[NDArray[np.int32]]:
            ids, counts = look_up(fresh)
            small, ends = ids.astype(np.int32), np.cumsum(counts).tolist()
            return [small[start:end] for start, end in zip([0, *ends], ends, strict=False)]

        found = _MEMO.look_up(texts, bags, reader)
        counts = np.fromiter(map(len, found), np.int64, len(found))
        ids = np.concatenate(found, dtype=np.int64) if found else np.empty(0, np.int64)
        return cls(ids, counts, np.cumsum(counts) - counts)

    def __len__(self) -> int:
        return len(self.counts)

    def batch(self, rows: IntArray, noise: np.random.Generator | None = None) -> tuple[torch.Tensor, ...]:
        """Ids (t,) and offsets (b,); with noise some ids are left out."""
        counts = self.counts[rows]
        offsets = np.cumsum(counts) - counts
        where = np.arange(int(counts.sum())) + np.repeat(self.starts[rows] - offsets, counts)
        ids = self.ids[where]
        if noise is not None:
            kept = noise.random(len(ids), np.float32) >= _WORD_DROPOUT
            before = np.append(0, np.cumsum(kept))
            ids, offsets = ids[kept], before[offsets]
        return torch.from_numpy(ids), torch.from_numpy(offsets)


class HashedNetwork(Network):
    """Mean of the rows of a hashed table, then a linear layer."""

    family: ClassVar[str] = "hashed"
    task: ClassVar[Task] = "text"
    epochs: ClassVar[int] = 8
    batch_size: ClassVar[int] = 256

    def __init__(self, rows: int, dim: int, n_classes: int):
        super().__init__()
        with unseeded():
            self.table = Bag(rows, dim)
            self.head = nn.Linear(dim, n_classes)

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> HashedNetwork:
        """16 columns for a few classes, up to 48 for many; in INT8 a megabyte or one and a half."""
        dim = int(np.clip(n_classes, 16, 48))
        network = cls(65_536 if dim <= 24 else 32_768, dim, n_classes)
        with torch.no_grad():
            network.table.weight.zero_()  # words that are never seen in training then say nothing, and zip to nothing
            network.head.weight.normal_(0.0, dim**-0.5, generator=generator)
            network.head.bias.zero_()
        return network

    @classmethod
    def restore(cls, arrays: Arrays) -> HashedNetwork:
        rows, dim = arrays["table"].shape
        head = len(arrays["head.bias"]), dim
        if arrays["head.weight"].shape != head:  # before a layer of that size is made
            raise ValueError(f"a head of shape {arrays['head.weight'].shape} where {head} is needed")
        network = cls(rows, dim, len(arrays["head.bias"]))
        with torch.no_grad():
            network.table.weight.copy_(torch.from_numpy(np.asarray(arrays["table"], np.float32)))
            network.head.weight.copy_(torch.from_numpy(np.asarray(arrays["head.weight"], np.float32)))
            network.head.bias.copy_(torch.from_numpy(np.asarray(arrays["head.bias"], np.float32)))
        network.scale = float(arrays["scale"][0])
        return network

    @property
    def n_classes(self) -> int:
        return self.head.out_features

    def prepare(self, items: Sequence[RawItem]) -> HashedTexts:
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise BadInput(f"Item {index} is no text but {type(item).__name__}.")
        rows = self.table.num_embeddings
        look_up = partial(hash_texts, rows=rows)
        return HashedTexts.read(cast(Sequence[str], items), look_up, f"{self.family} {rows}")

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.table(ids, offsets))
        return logits

    def optimisers(self, warm: bool) -> list[torch.optim.Optimizer]:
        rate = 0.015 if warm else 0.04
        return [
            RowAdam([self.table.weight], lr=rate),
            Adam(self.head.parameters(), lr=rate / 2, fused=True),
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "table": self.table.weight.detach().numpy(),
            "head.weight": self.head.weight.detach().numpy(),
            "head.bias": self.head.bias.detach().numpy(),
            "scale": np.array([self.scale], np.float32),
        }

    def preprocess(self) -> dict[str, Any] | None:
        return {"kind": "hashed-words-and-pairs", "rows": self.table.num_embeddings}

    def flops(self, inputs: Inputs) -> float:
        texts = cast(HashedTexts, inputs)
        dim = self.table.embedding_dim
        return float(len(texts.ids)) * dim + 2.0 * len(texts) * dim * self.n_classes
