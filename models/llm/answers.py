"""What a language model said of rows of the pool, as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """Answers about rows of the pool, one a row; those that fit no class are not among them.

    Attributes:
        rows: Shape ``(m,)``, ascending, each once.
        probabilities: Shape ``(m, n_classes)``, rows sum to 1.
        examples: Shape ``(m, k)``: the labelled rows that stood in each question, -1 behind them.
    """

    rows: IntArray
    probabilities: FloatArray
    examples: IntArray

    def __post_init__(self) -> None:
        m = len(self.rows)
        if self.probabilities.ndim != 2 or len(self.probabilities) != m or len(self.examples) != m:
            shapes = f"{self.probabilities.shape} and {self.examples.shape}"
            raise BadInput(f"Answers about {m} rows need as many probabilities and examples, not {shapes}.")

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def none(cls, n_classes: int) -> Answers:
        """No answer at all."""
        return cls.of({}, {}, n_classes)

    @classmethod
    def of(cls, said: Mapping[int, Any], examples: Mapping[int, Any], n_classes: int) -> Answers:
        """From the probabilities and the example rows of each row."""
        rows = sorted(said)
        widest = max((len(examples[row]) for row in rows), default=0)
        shown = np.full((len(rows), widest), -1, dtype=np.int64)
        for place, row in enumerate(rows):
            shown[place, : len(examples[row])] = examples[row]
        probabilities = np.array([said[row] for row in rows], dtype=np.float32).reshape(len(rows), n_classes)
        return cls(np.array(rows, dtype=np.int64), probabilities, shown)

    def some(self, wanted: NDArray[np.bool_]) -> Answers:
        """Those of a mask, (m,)."""
        return Answers(self.rows[wanted], self.probabilities[wanted], self.examples[wanted])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything there is to save, by name."""
        return {"rows": self.rows, "answered": self.probabilities, "examples": self.examples}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Answers:
        """The answers whose `arrays` these are."""
        rows = np.asarray(arrays["rows"], np.int64)
        return cls(rows, np.asarray(arrays["answered"], np.float32), np.asarray(arrays["examples"], np.int64))
