"""Batches of token sequences of about the same length, so that hardly any padding is computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TOKENS = 512
"""What a layer gives for more no longer fits into a processor's cache: eight times as many took half as long again."""
_ROWS = 32
_LONGER, _FREE = 1.5, 8  # what is longer than the shortest by more runs with others: padding would cost more


def length_batches(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows by ascending length in batches of at most 32 rows and 512 tokens, padding included, and of like lengths."""
    order = np.argsort(lengths, kind="stable")
    batches: list[NDArray[np.int64]] = []
    first = 0
    for end in range(1, len(order) + 1):
        rows = end - first
        full = end == len(order) or rows == _ROWS or (rows + 1) * lengths[order[end]] > _TOKENS
        if full or lengths[order[end]] > _LONGER * lengths[order[first]] + _FREE:
            batches.append(order[first:end])
            first = end
    return batches
