"""What stands for MiniLM where encoders are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from models.encoders import Encoded, RawItem
from tests.worker.service import HAM


class Stub:
    """Stands for MiniLM: knows the class of a text, or nothing of it."""

    name, version, dim, needs_fit, dtype, digest = "minilm", "1", 8, False, "float16", "stub"
    knows = False

    def __init__(self, *_: Any, **__: Any):
        pass

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        pass

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        rows = np.empty((len(items), self.dim), np.float32)
        for row, text in zip(rows, map(str, items), strict=True):
            seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
            row[:] = np.random.default_rng(seed).normal(size=self.dim)
            row[0] = (30 if set(text.split()) & set(HAM) else -30) if self.knows else row[0]
        return Encoded(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def state(self) -> dict[str, Any]:
        return {}

    def details(self) -> dict[str, Any]:
        return {}
