"""The encoder ``none``: features that the user brought, as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem, digest_of


class NoEncoder:
    """Feature vectors pass through as float32; one that is not finite, or of another length, gives a zero row."""

    name = "none"
    version = "1"
    needs_fit = False
    dtype: Literal["float16", "float32"] = "float32"

    def __init__(self, details: Mapping[str, Any] | None = None):
        self.dim = int((details or {}).get("dim", 0))

    @property
    def digest(self) -> str:
        """Of the name and the version: the length changes no row."""
        return digest_of(self.name, self.version, {}, {})

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Fix the length of a row: the commonest in the sample."""
        lengths = [row.size for row in map(_vector, sample) if row is not None]
        if lengths:
            self.dim = int(np.bincount(lengths).argmax())

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """The vectors, (n, dim) float32; the first batch fixes the length where nothing else did."""
        if not self.dim:
            self.fit(items, np.random.default_rng(0))
        features = np.zeros((len(items), self.dim), dtype=np.float32)
        failed = 0
        for i, item in enumerate(items):
            row = _vector(item)
            if row is None or row.size != self.dim:
                failed += 1
            else:
                features[i] = row
        return Encoded(features, n_failed=failed)

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing is learned."""
        return {}

    def details(self) -> dict[str, Any]:
        """The length of a row."""
        return {"dim": self.dim}


def _vector(item: RawItem) -> NDArray[np.float32] | None:
    if isinstance(item, (str, bytes)):
        return None
    row = np.asarray(item, dtype=np.float32)
    return row if row.ndim == 1 and row.size and bool(np.isfinite(row).all()) else None
