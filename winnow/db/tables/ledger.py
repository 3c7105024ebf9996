"""What work cost, and what people did."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class LedgerEntry(Base):
    """What one attempt of a job cost. Energy and carbon are estimates from the operator's stated rates."""

    __tablename__ = "ledger"
    __table_args__ = (Index("ix_ledger_project", "project_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    attempt: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    cpu_seconds: Mapped[float]
    wall_seconds: Mapped[float]
    peak_memory_bytes: Mapped[int] = mapped_column(BigId)
    flops: Mapped[float | None]
    watt_hours: Mapped[float]
    grams_co2e: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class AuditEntry(Base):
    """Who did what to what, from where."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_project", "project_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    project_id: Mapped[int | None] = mapped_column(BigId)
    action: Mapped[str] = mapped_column(String(64))
    address: Mapped[str | None] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]]
