"""What every runtime of a bundle offers: an onnxruntime session's few methods that are used, whoever computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Port:
    """An input or an output: its name, its shape (a word where any number goes), and its type."""

    name: str
    shape: list[int | str]
    type: str


class Session(Protocol):
    """A loaded model. Safe to share between threads."""

    def get_inputs(self) -> Sequence[Any]:
        """Its inputs."""

    def get_outputs(self) -> Sequence[Any]:
        """Its outputs."""

    def run(self, outputs: Sequence[str], feed: Mapping[str, Any]) -> Sequence[Any]:
        """The outputs for a batch."""
