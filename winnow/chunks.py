"""Parts of a list that fit the parameters of one statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def chunks(values: list[T], size: int = 500) -> Iterator[list[T]]:
    """Consecutive parts of ``values``, ``size`` long but for the last."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
