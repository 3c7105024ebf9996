"""Runs that label the rest."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class LabelRestIn(BaseModel):
    """How many errors are allowed, how sure one wants to be of it, and whether anything is written."""

    model_config = ConfigDict(extra="forbid")

    alpha: float = Field(0.05, ge=0.001, le=0.5, description="The largest share of errors among what is accepted.")
    confidence: float = Field(0.95, ge=0.5, le=0.999, description="How sure to be of it.")
    dry_run: bool = Field(True, description="Only say what would be accepted.")


class LabelRun(BaseModel):
    """A run. `threshold` and `bound` are null where nothing could be certified, and until it is done."""

    id: str
    state: str
    created_at: datetime
    version: int
    alpha: float
    confidence: float
    dry_run: bool
    threshold: float | None
    bound: float | None = Field(description="Upper bound of the share of errors among what is accepted.")
    coverage: float | None = Field(description="The share of what was left that is above the threshold.")
    accepted: int | None
    reason: str | None
    standing: int = Field(description="How many of its labels stand.")


class LabelRuns(BaseModel):
    """A page of runs, the newest first."""

    data: list[LabelRun]
    next: str | None

    @classmethod
    def of(cls, runs: list[dict[str, Any]], limit: int) -> LabelRuns:
        """From one run more than fit the page, if there are so many."""
        page = [LabelRun(**run) for run in runs[:limit]]
        return cls(data=page, next=page[-1].id if len(runs) > limit else None)
