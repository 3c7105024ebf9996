"""What every parser gives: rows or the reason why there is none, each with the place to go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from winnow.settings import Settings

#: Where a parser goes on: plain JSON, made and understood by the parser alone.
Position: TypeAlias = dict[str, int]


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it was found. ``line`` counts from 1; ``row`` is None where ``error`` says why.

    ``share`` is how much of the file lies behind it, 0 to 1; ``after`` is where to go on from.
    """

    line: int
    row: Mapping[str, Any] | None
    error: str | None
    share: float
    after: Position


@dataclass(frozen=True)
class Wanted:
    """What the file is read for: the project's task and classes, and what the caller said about columns."""

    task: str
    classes: Sequence[str]
    settings: Settings
    feature_dim: int | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    use_labels: bool = True

    @property
    def max_line_bytes(self) -> int:
        """The longest line or record that is read: a full-sized image in base64 fits."""
        return max(8 << 20, self.settings.max_image_bytes // 3 * 4 + (1 << 16))
