"""Work that was asked for. A message is only a hint to look here."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow

_ROUND_QUEUED = text("kind = 'round' AND state = 'queued'")
_ROUND_RUNNING = text("kind = 'round' AND state = 'running'")
_ENCODE_QUEUED = text("kind = 'encode' AND state = 'queued'")
_ACTIVE = text("state IN ('queued', 'running')")


class Job(Base):
    """A piece of work.

    ``kind`` is round, import, encode, export, purge, label-rest, label-undo, drift or cold-retrain.

    ``state`` is queued, running, succeeded, failed or canceled. Every write of a running job is fenced by its
    ``attempt``, which grows with each claim. ``deaths`` counts the attempts whose worker died. A running job without
    ``lease_until`` waits to be taken up again from its ``checkpoint``. ``hinted_at`` is not used any more.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(
            "uq_jobs_round_queued",
            "project_id",
            unique=True,
            sqlite_where=_ROUND_QUEUED,
            postgresql_where=_ROUND_QUEUED,
        ),
        Index(
            "uq_jobs_round_running",
            "project_id",
            unique=True,
            sqlite_where=_ROUND_RUNNING,
            postgresql_where=_ROUND_RUNNING,
        ),
        Index(
            "uq_jobs_encode_queued",
            "project_id",
            unique=True,
            sqlite_where=_ENCODE_QUEUED,
            postgresql_where=_ENCODE_QUEUED,
        ),
        Index("ix_jobs_active", "state", "id", sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
        Index("ix_jobs_project", "project_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="queued")
    payload: Mapped[dict[str, Any]]
    checkpoint: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(default=0)
    deaths: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None]
    hinted_at: Mapped[datetime | None]
    progress: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    requested_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class WorkerSeen(Base):
    """A worker process and when it last said that it lives (readiness)."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    seen_at: Mapped[datetime]
