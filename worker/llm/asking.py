"""What a round may ask of a language model, and what it gets: rows and arrays, whoever does the asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.llm.answers import Answers

PREFIX = "llm:"


@dataclass(frozen=True)
class ShownRow:
    """A labelled row that is shown in a question."""

    row: int
    text: str
    label: int


@dataclass(frozen=True)
class RowQuestion:
    """To which class does this row belong?"""

    row: int
    text: str
    examples: tuple[ShownRow, ...]


@dataclass(frozen=True)
class Known:
    """All that a language model has said of this pool.

    Attributes:
        answers: Those that fit a class.
        unfit: Shape ``(u,)``: the rows of those that do not.
    """

    answers: Answers
    unfit: NDArray[np.int64]

    @property
    def asked(self) -> NDArray[np.int64]:
        """Every row that was asked about."""
        return np.union1d(self.answers.rows, self.unfit).astype(np.int64)


@dataclass(frozen=True)
class Asked:
    """What came of asking.

    Attributes:
        stopped: Why no more was asked before all were; None where all were.
        failed: How many questions got no answer.
        usage: JSON: ``calls``, ``tokens_in``, ``tokens_out``, ``cost`` and ``currency`` of these questions, earlier
            attempts included.
        spent: JSON: the same of the project, so far.
    """

    stopped: str | None
    failed: int
    usage: dict[str, Any]
    spent: dict[str, Any]


class Panel(Protocol):
    """A language model that a round may ask, and what it has said before."""

    @property
    def name(self) -> str:
        """As the project's settings name it, ``llm:NAME``."""

    @property
    def model(self) -> str:
        """The model, as its server knows it."""

    @property
    def items_per_round(self) -> int:
        """How many rows a round may ask about."""

    @property
    def doubted(self) -> float:
        """The share of unlabelled rows to ask about that the head doubts most; the others are drawn at random."""

    @property
    def examples(self) -> int:
        """How many labelled rows each question shows."""

    def known(self) -> Known:
        """All answers so far that may be used together with new ones."""

    def ask(self, questions: Sequence[RowQuestion], progress: Callable[[float, str], None]) -> Asked:
        """Ask, and keep each answer as it comes. What has an answer is not asked again.

        Whatever goes wrong with the server or the budget ends the asking and is said in `Asked.stopped`. May raise to
        stop the round, as ``progress(share, message)`` may.
        """
