"""Labels, which are append-only, and the requests that brought them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, Json, utcnow

STANDING = text("superseded_at IS NULL")


class Label(Base):
    """What somebody said of an item, for good. It stands until ``superseded_at``.

    ``kind`` is label, skip or flag. ``value`` is a class name, or a list of them. ``source`` is human, import or model.
    ``mechanism`` (holdout, exploration, strategy, review) and ``probability`` were fixed when the item was leased; that
    of a model's label is rest.
    ``round`` and ``student_version`` name what ranked it (round 0: nothing had yet).
    """

    __tablename__ = "labels"
    __table_args__ = (
        Index(
            "uq_labels_standing",
            "item_id",
            "user_id",
            unique=True,
            sqlite_where=STANDING,
            postgresql_where=STANDING,
        ),
        Index("ix_labels_project", "project_id", "id"),
        Index("ix_labels_item", "item_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    kind: Mapped[str] = mapped_column(String(8))
    value: Mapped[Any | None] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(8))
    round: Mapped[int] = mapped_column(default=0)
    student_version: Mapped[int | None]
    mechanism: Mapped[str | None] = mapped_column(String(16))
    probability: Mapped[float | None]
    seconds: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    superseded_at: Mapped[datetime | None]
    superseded_by: Mapped[int | None] = mapped_column(BigId)


class LabelRequest(Base):
    """A person's ``request_id`` in a project, the digest of its body and the answer that it was given."""

    __tablename__ = "label_requests"
    __table_args__ = (UniqueConstraint("project_id", "user_id", "request_id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    request_id: Mapped[str] = mapped_column(String(200))
    body_digest: Mapped[str] = mapped_column(String(64))
    item_id: Mapped[int] = mapped_column(BigId)
    label_id: Mapped[int] = mapped_column(BigId)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
