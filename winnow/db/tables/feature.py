"""Feature shards and the encoders that made them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class Encoder(Base):
    """The encoder of a project, once it is fitted: its name, version, hash, and where its state lies."""

    __tablename__ = "encoders"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(32))
    digest: Mapped[str] = mapped_column(String(64))
    dim: Mapped[int]
    dtype: Mapped[str] = mapped_column(String(16))
    path: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utcnow)


class FeatureShard(Base):
    """Features of the items numbered ``start`` to ``stop`` (exclusive), in the file ``path`` (.npy)."""

    __tablename__ = "feature_shards"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    start: Mapped[int] = mapped_column(BigId, primary_key=True)
    stop: Mapped[int] = mapped_column(BigId)
    path: Mapped[str] = mapped_column(Text)
    n_cut: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
