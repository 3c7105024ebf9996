"""What a round is to do, as plain values: a recipe can be written down and repeated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The choices of a round. The defaults are those of a new project.

    Attributes:
        strategy: Name of a query strategy of the sampler.
        encoder: Name of the encoder that the features came from; written down, not used.
        teacher: ``logistic``, or ``auto`` for the same.
        student: A family of students, ``auto`` for the task's, or ``none`` for no student at all.
        ranker: Whose probabilities rank: ``teacher`` or ``student``.
        seed: What the round's generator was seeded with; written down, not used.
        batch_size: About how many labels come before the next round.
        queue_size: How many rows to rank.
        transfer_size: Most soft labels that a cold student learns from.
        warm_transfer_size: Most soft labels that a warm one does.
        agreement_rows: Random pool rows on which teacher and student are compared; never in the transfer set where
            the pool is large enough.
        cold_every: Every so many rounds the student starts afresh: warm ones drift.
        forced: Somebody asked for this round: a student is trained even where it would not pay yet.
    """

    strategy: str = "auto"
    encoder: str = "auto"
    teacher: str = "auto"
    student: str = "auto"
    ranker: str = "teacher"
    seed: int = 0
    batch_size: int = 20
    queue_size: int = 2_000
    transfer_size: int = 20_000
    warm_transfer_size: int = 5_000
    agreement_rows: int = 1_000
    cold_every: int = 5
    forced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: for the registry, manifests and cards."""
        return asdict(self)
