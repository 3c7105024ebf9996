"""Rounds and the students that they trained."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class Round(Base):
    """One round of a project, as it ended. ``cutoff`` is the id of the newest label that it knew."""

    __tablename__ = "rounds"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    state: Mapped[str] = mapped_column(String(16))
    cutoff: Mapped[int] = mapped_column(BigId)
    labels: Mapped[int]
    strategy: Mapped[str | None] = mapped_column(String(64))
    student_version: Mapped[int | None]
    promoted: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    metrics: Mapped[dict[str, Any]]
    costs: Mapped[dict[str, Any]]
    seconds: Mapped[float] = mapped_column(default=0.0)
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime] = mapped_column(default=utcnow)


class Student(Base):
    """A trained student. ``path`` is its folder in storage; the newest ``promoted_at`` marks the current one."""

    __tablename__ = "students"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    round: Mapped[int]
    family: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    labels: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    recipe: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    promoted_at: Mapped[datetime | None]
