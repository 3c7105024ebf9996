"""What a round is to do, as plain values: a recipe can be written down and repeated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """The choices of a round. The defaults are those of a new project.

    Attributes:
        strategy: Name of a query strategy of the sampler.
        encoder: Name of the encoder that the features came from; written down, not used.
        teacher: What teaches the student: ``logistic`` (the head that ranks), ``lexical``, ``prototypes``, ``stacked``
            (an average of all three), ``sklearn:NAME``, ``llm:NAME`` for what the head and a language model know
            together, an encoder that is fine-tuned (`worker.finetuned.METHODS`), or ``auto`` for what cross-validation
            prefers.
        classifier: What ``sklearn:NAME`` stands for: ``{"class", "params"}`` of the operator's registry.
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
        student_mb: What a student of ``auto`` may weigh; None for no limit.
        student_ms: What it may take for one item, on one thread.
        device: The profile of the machine that it is for (`models.profile.measure_profile`); None for this one.
        forced: Somebody asked for this round: a student is trained even where it would not pay yet.
    """

    strategy: str = "auto"
    encoder: str = "auto"
    teacher: str = "auto"
    classifier: Mapping[str, Any] | None = None
    student: str = "auto"
    ranker: str = "teacher"
    seed: int = 0
    batch_size: int = 20
    queue_size: int = 2_000
    transfer_size: int = 20_000
    warm_transfer_size: int = 5_000
    agreement_rows: int = 1_000
    cold_every: int = 5
    student_mb: float | None = None
    student_ms: float | None = None
    device: dict[str, Any] | None = None
    forced: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: for the registry, manifests and cards."""
        return asdict(self)
