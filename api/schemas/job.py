"""Jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from winnow import jobs
from winnow.db.tables import Job


class JobOut(BaseModel):
    """A piece of work, how far it is, and what came of it. ``result`` and ``error`` (a problem) are null until then."""

    id: str
    kind: Literal["round", "import", "encode", "export", "purge", "label-rest", "label-undo", "drift", "cold-retrain"]
    project: str | None
    state: Literal["queued", "running", "succeeded", "failed", "canceled"]
    progress: float = Field(ge=0, le=1)
    message: str
    attempt: int = Field(description="0 until it was begun; grows when the worker died and another took it up.")
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """From its row."""
        return cls.model_validate(jobs.to_dict(job))
