"""What language models were asked, what they answered, and what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from winnow.db.base import Base, BigId, utcnow


class LlmAnswer(Base):
    """One question to a registered language model about one item, and all that was ever paid for it.

    ``question`` (hex) is the digest of everything that is sent; ``family`` of what answers must have in common to be
    used together: endpoint, model, wording and classes. ``state`` is asked (an answer is awaited, or never came),
    answered, unfit (the answer is none of the classes) or failed. ``number`` is the item's, ``examples`` are the
    numbers of the labelled items that stood in the question. Tokens and cost are the server's own figures; while an
    answer is awaited, and where none came, an estimate. No text is kept here, neither the item's nor the answer's.
    """

    __tablename__ = "llm_answers"
    __table_args__ = (UniqueConstraint("project_id", "question"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    question: Mapped[str] = mapped_column(String(64))
    family: Mapped[str] = mapped_column(String(64))
    endpoint: Mapped[str] = mapped_column(String(40))
    model: Mapped[str] = mapped_column(String(200))
    number: Mapped[int] = mapped_column(BigId)
    examples: Mapped[list[Any]]
    state: Mapped[str] = mapped_column(String(16))
    votes: Mapped[list[Any]]
    probabilities: Mapped[list[Any] | None]
    calls: Mapped[int] = mapped_column(default=0)
    tokens_in: Mapped[int] = mapped_column(BigId, default=0)
    tokens_out: Mapped[int] = mapped_column(BigId, default=0)
    cost: Mapped[float] = mapped_column(default=0.0)
    currency: Mapped[str] = mapped_column(String(3))
    created_at: Mapped[datetime] = mapped_column(default=utcnow)
    answered_at: Mapped[datetime | None]
