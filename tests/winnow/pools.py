"""Small pools to serve from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from winnow.admission import AddResult, add_items
from winnow.counters import counted_project, locked_project
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Item, Label, Lease, Project, User
from winnow.intake import RowReader
from winnow.labels import Accepted, Rejected, undo_label, write_labels
from winnow.leases import HeldItem
from winnow.project_settings import default_settings
from winnow.queue import Batch, QueueRow, claim_batch, replace_queue
from winnow.settings import Settings


@dataclass
class Pool:
    """A project with a few people, and short ways to work on it, each in a transaction of its own."""

    database: Database
    settings: Settings
    project_id: int
    users: list[int]

    @classmethod
    def make(
        cls,
        database: Database,
        settings: Settings,
        *,
        task: str = "text",
        classes: Sequence[str] = ("spam", "ham"),
        people: int = 3,
        **changed: Any,
    ) -> Pool:
        with database.write() as session:
            users = [User(email=f"u{n}@example.org", password_hash="!", role="member") for n in range(people)]
            session.add_all(users)
            project = Project(
                name="mail",
                task=task,
                labels=[{"name": name} for name in classes],
                settings=default_settings() | changed,
                order_key="5e" * 32,
            )
            session.add(project)
            session.flush()
            return cls(database, settings, project.id, [user.id for user in users])

    @property
    def project(self) -> Project:
        with self.database.read() as session:
            return session.get_one(Project, self.project_id)

    def add(self, *rows: Mapping[str, Any], **options: Any) -> AddResult:
        with self.database.write() as session:
            project = locked_project(session, self.project_id)
            reader = RowReader(project, self.settings, options.get("labels", "use"))
            return add_items(session, project, [reader.draft(row) for row in rows], **options)

    def fill(self, n: int) -> None:
        self.add(*({"text": f"{word(i)} {word(7 * i + 3)}", "key": f"k{i}"} for i in range(n)))

    def rank(self, *numbers: int, round_n: int = 1, label: str | None = "spam") -> int:
        with self.database.write() as session:
            project = locked_project(session, self.project_id)
            project.ranked_round = round_n
            project.ranked_cutoff = session.scalar(select(func.max(Label.id))) or 0
            rows = [
                QueueRow(number, 1.0 - place / 1000, "unsure", "strategy", None, label, 0.6)
                for place, number in enumerate(numbers)
            ]
            return replace_queue(session, project, round_n, 1, rows)

    def claim(self, person: int, size: int = 1, **options: Any) -> Batch:
        with self.database.write() as session:
            return claim_batch(session, counted_project(session, self.project_id), self.users[person], size, **options)

    def write(self, person: int, *entries: Any) -> tuple[list[Accepted], list[Rejected]]:
        with self.database.write() as session:
            return write_labels(session, counted_project(session, self.project_id), self.users[person], entries)

    def label(self, person: int, item_id: int, label: str = "spam", **more: Any) -> int:
        accepted, rejected = self.write(person, {"item": str(item_id), "label": label, **more})
        assert not rejected, rejected
        return accepted[0].label_id

    def undo(self, person: int, label_id: int) -> HeldItem:
        with self.database.write() as session:
            return undo_label(session, counted_project(session, self.project_id), self.users[person], label_id)

    def items(self) -> list[Item]:
        with self.database.read() as session:
            return list(session.scalars(select(Item).where(Item.project_id == self.project_id).order_by(Item.id)))

    def labels(self) -> list[Label]:
        with self.database.read() as session:
            return list(session.scalars(select(Label).where(Label.project_id == self.project_id).order_by(Label.id)))

    def live(self) -> list[Lease]:
        with self.database.read() as session:
            return list(session.scalars(select(Lease).where(Lease.expires_at > utcnow()).order_by(Lease.id)))

    def expire(self) -> None:
        with self.database.write() as session:
            for lease in session.scalars(select(Lease).where(Lease.expires_at > utcnow())):
                lease.expires_at = utcnow()


def word(number: int) -> str:
    """A different word for each number."""
    letters = "bcdfghjklmnpqrstvwxz"
    out = ""
    while True:
        out += letters[number % 20] + "aeiou"[number % 5]
        number //= 20
        if not number:
            return out
