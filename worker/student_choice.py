"""Which family of students a project gets: the Pareto front of fidelity, size and speed, under its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHOICE_REGROWTH = 2.0
"""By how much labels must have grown before families are compared again: each is trained for it."""


@dataclass(frozen=True)
class Candidate:
    """A student of one family, and what was found of it.

    Attributes:
        family: Its family.
        agrees: bool, (m,): whether it says what the teacher says, on pool rows that it did not learn from.
        megabytes: Of its INT8 graph.
        milliseconds: For one item, on the device that it is for.
    """

    family: str
    agrees: NDArray[np.bool_]
    megabytes: float
    milliseconds: float

    @property
    def agreement(self) -> float:
        """Share of the rows; 0 where there are none."""
        return float(self.agrees.mean()) if len(self.agrees) else 0.0


@dataclass(frozen=True)
class StudentChoice:
    """The family that was chosen, why in a sentence, and what each offered (JSON)."""

    family: str
    why: str
    candidates: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """For a round's metrics."""
        return {"family": self.family, "why": self.why, "candidates": self.candidates}


def choose_student(
    candidates: Sequence[Candidate], *, most_mb: float | None = None, most_ms: float | None = None
) -> StudentChoice:
    """The first of the candidates within the budget that is as near to the teacher as the nearest of them.

    As near is within one standard error of the difference, paired by rows: the order of the candidates says which is
    preferred among equals. Where none keeps within the budget it is the one that exceeds it least, and the sentence
    says so.

    Args:
        candidates: One for each family, one at least, the preferred one first.
        most_mb: What a student may weigh.
        most_ms: What it may take for one item.

    >>> small = Candidate("small", np.array([True] * 80 + [False] * 20), 0.1, 0.02)
    >>> good = Candidate("good", np.array([True] * 99 + [False]), 4.0, 0.5)
    >>> choose_student([small, good]).family, choose_student([small, good], most_mb=1).family
    ('good', 'small')
    """
    excess = [_excess(candidate, most_mb, most_ms) for candidate in candidates]
    within = [candidate for candidate, over in zip(candidates, excess, strict=True) if over <= 1]
    if not within:
        chosen = candidates[int(np.argmin(excess))]
        why = f"none of {_names(candidates)} keeps within {_budget(most_mb, most_ms)}; it exceeds that least"
        return StudentChoice(chosen.family, why, _table(candidates, excess))
    best = max(within, key=lambda candidate: candidate.agreement)
    chosen = next(candidate for candidate in within if _as_near(candidate, best))
    return StudentChoice(chosen.family, _why(chosen, best, within, candidates), _table(candidates, excess))


def _excess(candidate: Candidate, most_mb: float | None, most_ms: float | None) -> float:
    """How many times the tightest limit the candidate takes; at most 1 is within the budget."""
    return max(
        candidate.megabytes / most_mb if most_mb else 0.0,
        candidate.milliseconds / most_ms if most_ms else 0.0,
    )


def _as_near(candidate: Candidate, best: Candidate) -> bool:
    lost = best.agrees.astype(float) - candidate.agrees.astype(float)
    return len(lost) < 2 or bool(lost.mean() <= lost.std(ddof=1) / np.sqrt(len(lost)))


def _why(chosen: Candidate, best: Candidate, within: Sequence[Candidate], candidates: Sequence[Candidate]) -> str:
    left_out = [candidate for candidate in candidates if candidate not in within]
    over = f"; {_names(left_out)} exceeds the budget" if left_out else ""
    if len(within) == 1:
        return f"the only one within the budget{over}"
    rows = len(best.agrees)
    if chosen is best:
        return f"it agrees with the teacher on {best.agreement:.1%} of {rows} items, more than the others{over}"
    return (
        f"preferred, and with {chosen.agreement:.1%} of {rows} items as near to the teacher, within a standard error, "
        f"as {best.family} ({best.agreement:.1%}){over}"
    )


def _table(candidates: Sequence[Candidate], excess: Sequence[float]) -> list[dict[str, Any]]:
    return [
        {
            "family": candidate.family,
            "agreement": round(candidate.agreement, 4),
            "mb": round(candidate.megabytes, 4),
            "ms": round(candidate.milliseconds, 4),
            "within_budget": over <= 1,
            "on_the_front": not any(_dominates(other, candidate) for other in candidates),
        }
        for candidate, over in zip(candidates, excess, strict=True)
    ]


def _dominates(other: Candidate, candidate: Candidate) -> bool:
    """Whether the other is no worse in anything and better in something."""
    theirs = (other.agreement, -other.megabytes, -other.milliseconds)
    ours = (candidate.agreement, -candidate.megabytes, -candidate.milliseconds)
    return all(a >= b for a, b in zip(theirs, ours, strict=True)) and theirs != ours


def _names(candidates: Sequence[Candidate]) -> str:
    return " and ".join(candidate.family for candidate in candidates)


def _budget(most_mb: float | None, most_ms: float | None) -> str:
    parts = [f"{most_mb:g} MB" if most_mb else "", f"{most_ms:g} ms" if most_ms else ""]
    return " and ".join(part for part in parts if part)
