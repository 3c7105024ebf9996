"""Projects and who may work on them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class Project(Base):
    """A pool, its classes and its settings.

    ``labels`` is a list of ``{name, description, hotkey, color}``; ``settings`` holds every setting, defaults filled
    in. ``order_key`` (hex) seeds the random order of serving, the holdout's hash and the rounds. The ``n_…`` columns
    count under the project's lock: items are all rows; ``n_open`` still need labels; ``n_labeled`` have a standing
    label; ``n_skipped`` and ``n_flagged`` have a standing skip or flag; ``n_labels`` are standing labels (not skips) of
    people; ``round_labels`` is what ``n_labels`` was at the newest round's cut-off. ``next_number`` is the number of
    the next item: its row in the feature store. ``n_pool`` came without a label, the holdout included;
    ``n_open_holdout`` is the holdout's part of ``n_open``; ``n_behind`` are standing labels of people that the ranking
    of ``behind_cutoff`` does not know (counted anew when ``ranked_cutoff`` has moved).
    """

    __tablename__ = "projects"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    task: Mapped[str] = mapped_column(String(16))
    labels: Mapped[list[Any]]
    guidelines: Mapped[str] = mapped_column(Text, default="")
    settings: Mapped[dict[str, Any]]
    order_key: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    archived_at: Mapped[datetime | None]
    feature_dim: Mapped[int | None]
    next_number: Mapped[int] = mapped_column(BigId, default=0)
    n_items: Mapped[int] = mapped_column(BigId, default=0)
    n_open: Mapped[int] = mapped_column(BigId, default=0)
    n_labeled: Mapped[int] = mapped_column(BigId, default=0)
    n_skipped: Mapped[int] = mapped_column(BigId, default=0)
    n_flagged: Mapped[int] = mapped_column(BigId, default=0)
    n_labels: Mapped[int] = mapped_column(BigId, default=0)
    n_test: Mapped[int] = mapped_column(BigId, default=0)
    n_holdout_labels: Mapped[int] = mapped_column(BigId, default=0)
    n_served: Mapped[int] = mapped_column(BigId, default=0)
    round_labels: Mapped[int] = mapped_column(BigId, default=0)
    ranked_round: Mapped[int] = mapped_column(default=0)
    ranked_cutoff: Mapped[int] = mapped_column(BigId, default=0)
    n_pool: Mapped[int] = mapped_column(BigId, default=0)
    n_open_holdout: Mapped[int] = mapped_column(BigId, default=0)
    n_behind: Mapped[int] = mapped_column(BigId, default=0)
    behind_cutoff: Mapped[int] = mapped_column(BigId, default=0)


class Member(Base):
    """A person's role in a project: manager, annotator or viewer."""

    __tablename__ = "members"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
