"""Items of a pool and what they contain."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class Item(Base):
    """One thing to label. ``number`` is its row in the feature store.

    ``split`` is pool, holdout or test. ``digest`` identifies the content, ``group_digest`` its near-duplicates.
    ``shuffle`` is a keyed hash of content and key: the seeded random order. ``standing`` counts standing labels (not
    skips, not flags); ``is_open`` says that it can still be served (standing < overlap, not test, no imported label).
    """

    __tablename__ = "items"
    __table_args__ = (
        Index("uq_items_project_number", "project_id", "number", unique=True),
        Index("uq_items_project_key", "project_id", "key", unique=True),
        Index("ix_items_project_digest", "project_id", "digest"),
        Index(
            "ix_items_open",
            "project_id",
            "split",
            "shuffle",
            "id",
            sqlite_where=text("is_open"),
            postgresql_where=text("is_open"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(BigId)
    key: Mapped[str | None] = mapped_column(String(512))
    digest: Mapped[str] = mapped_column(String(64))
    group_digest: Mapped[str] = mapped_column(String(64))
    shuffle: Mapped[int] = mapped_column(BigId)
    split: Mapped[str] = mapped_column(String(16))
    text: Mapped[str | None] = mapped_column(Text)
    meta: Mapped[dict[str, Any] | None]
    standing: Mapped[int] = mapped_column(default=0)
    is_open: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class Content(Base):
    """The bytes of an image item, or the little-endian float32 vector of a features item."""

    __tablename__ = "contents"

    item_id: Mapped[int] = mapped_column(ForeignKey("items.id", ondelete="CASCADE"), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    data: Mapped[bytes] = mapped_column(LargeBinary)
