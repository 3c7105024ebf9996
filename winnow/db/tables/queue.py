"""The ranked reserve of a project, and who holds what."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class QueueEntry(Base):
    """A ranked candidate. ``rank`` 0 is the best; a row goes when its item needs no more labels."""

    __tablename__ = "queue"
    # By item alone: an item is in one project, and deleting items looks queue rows up by it.
    __table_args__ = (UniqueConstraint("item_id"),)

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    round: Mapped[int]
    student_version: Mapped[int | None]
    score: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(Text)
    mechanism: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    label: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None]


class Lease(Base):
    """An item in somebody's hands until ``expires_at``, with what will stand on its label.

    Score, reason and prediction are kept so that a reloaded page shows what the first one did.
    """

    __tablename__ = "leases"
    __table_args__ = (
        UniqueConstraint("item_id", "user_id"),
        Index("ix_leases_project_user", "project_id", "user_id"),
        Index("ix_leases_project_expiry", "project_id", "expires_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    expires_at: Mapped[datetime]
    position: Mapped[int] = mapped_column(default=0)
    round: Mapped[int] = mapped_column(default=0)
    student_version: Mapped[int | None]
    score: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(Text)
    mechanism: Mapped[str] = mapped_column(String(16))
    probability: Mapped[float | None]
    label: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None]
