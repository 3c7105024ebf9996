"""Rounds."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from winnow import rounds
from winnow.db.tables import Round


class RoundOut(BaseModel):
    """A round that has ended: what it knew, what it cost, what it measured, what was promoted and why."""

    n: int
    state: Literal["trained", "skipped"]
    job: str | None
    labels: int = Field(description="Labelled items that it trained on.")
    strategy: str | None
    student: int | None = Field(description="The version of the student that it trained.")
    promoted: bool
    reason: str
    metrics: dict[str, Any]
    costs: dict[str, Any] = Field(description="CPU and wall seconds, peak memory, FLOPs, Wh and gCO2e (estimates).")
    seconds: float
    started_at: datetime
    finished_at: datetime

    @classmethod
    def of(cls, round_: Round) -> RoundOut:
        """From its row."""
        return cls.model_validate(rounds.to_dict(round_))


class RoundList(BaseModel):
    """A page of rounds, the newest first."""

    data: list[RoundOut]
    next: str | None
