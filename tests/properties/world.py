"""The service as its routes drive it: each act in one transaction of its own, written down with what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from tests.properties.clock import Clock
from winnow import rounds
from winnow.admission import AddResult, add_items
from winnow.counters import entered_project, locked_project
from winnow.db.base import Base
from winnow.db.session import Database, lock_project
from winnow.db.tables import Item, Job, Label, Lease, Member, Project, User
from winnow.errors import WinnowError
from winnow.intake import RowReader
from winnow.labels import undo_label, write_labels
from winnow.leases import release_lease, renew_lease
from winnow.members import add_member, remove_member
from winnow.permissions import Permission
from winnow.project_settings import default_settings
from winnow.projects import archive_project, update_project
from winnow.queue import QueueRow, claim_batch, replace_queue
from winnow.settings import Settings
from winnow.users import issue_token

CLASSES = ("spam", "ham")
BATCH_SIZE = 3


@dataclass(frozen=True)
class Person:
    user_id: int
    email: str
    secret: str


@dataclass(frozen=True)
class Event:
    """What somebody asked for and what they were told, in the order in which the project's lock let them in."""

    name: str
    arguments: Mapping[str, Any]
    outcome: Any
    now: datetime


@dataclass(frozen=True)
class ItemRow:
    id: int
    number: int
    key: str | None
    text: str | None
    split: str
    shuffle: int


@dataclass(frozen=True)
class LeaseRow:
    """A lease as it is stored; ``order`` is its place in its holder's list."""

    id: int
    item: int
    user: int
    seconds: float
    created_at: datetime
    expires_at: datetime
    position: int
    round: int
    score: float | None
    reason: str | None
    mechanism: str
    probability: float | None
    label: str | None


@dataclass(frozen=True)
class Claimed:
    items: list[Any]
    leases: list[LeaseRow]
    round: int
    labels_behind: int
    remaining: int


@dataclass(frozen=True)
class Added:
    result: AddResult
    items: list[ItemRow]
    labels: list[Any]


@dataclass
class World:
    """One project with its people. Threads may share it, each with a ``database`` of its own."""

    database: Database
    settings: Settings
    clock: Clock
    project_id: int
    people: list[Person]
    log: list[Event] = field(default_factory=list)
    #: What came of the last act in this hand.
    told: Any = None

    @classmethod
    def make(cls, database: Database, settings: Settings, clock: Clock, people: int = 4, **changed: Any) -> World:
        """A fresh project in an emptied database, with ``changed`` settings."""
        with database.write() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        with database.write() as session:
            users = [User(email=f"u{n}@example.org", password_hash="!", role="member") for n in range(people)]
            project = Project(
                name="mail",
                task="text",
                labels=[{"name": name} for name in CLASSES],
                settings=default_settings() | {"batch_size": BATCH_SIZE} | changed,
                order_key="5e" * 32,
            )
            boss = User(email="boss@example.org", password_hash="!", role="member")
            session.add_all([*users, boss, project])
            session.flush()
            session.add(Member(project_id=project.id, user_id=boss.id, role="manager"))
            session.add_all(Member(project_id=project.id, user_id=user.id, role="annotator") for user in users)
            made = [Person(user.id, user.email, issue_token(session, user.id, "t", "api")[1]) for user in users]
            return cls(database, settings, clock, project.id, made)

    def on(self, database: Database) -> World:
        """The same world through another engine, with the same log."""
        return World(database, self.settings, self.clock, self.project_id, self.people, self.log)

    @contextmanager
    def _act(self, name: str, **arguments: Any) -> Iterator[tuple[Session, Callable[[Any], None]]]:
        """A transaction that logs what came of it while it still holds the lock that it took; refusals are outcomes."""
        now = self.clock.now

        def tell(outcome: Any) -> None:
            self.told = outcome
            self.log.append(Event(name, arguments, outcome, now))

        try:
            with self.database.write() as session:
                try:
                    yield session, tell
                except WinnowError as error:
                    tell(error)
                    raise
        except WinnowError:
            pass

    def _enter(self, session: Session, person: int) -> tuple[int, Project]:
        secret = self.people[person].secret
        identity, project = entered_project(session, secret, self.project_id, Permission.LABEL)
        return identity.user_id, project

    def claim(self, person: int, size: int, lease_seconds: float | None = None) -> None:
        with self._act("claim", person=person, size=size, lease_seconds=lease_seconds) as (session, tell):
            user_id, project = self._enter(session, person)
            batch = claim_batch(session, project, user_id, size, lease_seconds)
            leases = _leases(session, [item.lease_id for item in batch.items])
            tell(Claimed(batch.items, leases, batch.round, batch.labels_behind, batch.remaining))

    def write(self, person: int, entries: Sequence[Mapping[str, Any]]) -> None:
        with self._act("write", person=person, entries=entries) as (session, tell):
            user_id, project = self._enter(session, person)
            tell(write_labels(session, project, user_id, entries))

    def undo(self, person: int, label_id: int) -> None:
        with self._act("undo", person=person, label_id=label_id) as (session, tell):
            user_id, project = self._enter(session, person)
            tell(undo_label(session, project, user_id, label_id))

    def renew(self, person: int, lease_id: int) -> None:
        with self._act("renew", person=person, lease_id=lease_id) as (session, tell):
            user_id, project = self._enter(session, person)
            tell(renew_lease(session, project, user_id, lease_id).expires_at)

    def release(self, person: int, lease_id: int) -> None:
        with self._act("release", person=person, lease_id=lease_id) as (session, tell):
            user_id, project = self._enter(session, person)
            release_lease(session, project, user_id, lease_id)
            tell(None)

    def add(self, rows: Sequence[Mapping[str, Any]], on_duplicate: Any = "skip", labels: Any = "use") -> None:
        """Import ``rows``; the outcome has all items, and the labels that are new."""
        with self._act("add", rows=rows, on_duplicate=on_duplicate, labels=labels) as (session, tell):
            project = locked_project(session, self.project_id)
            newest = session.scalar(select(func.max(Label.id))) or 0
            reader = RowReader(project, self.settings, labels)
            drafts = [reader.draft(row) for row in rows]
            result = add_items(session, project, drafts, labels=labels, on_duplicate=on_duplicate)
            session.flush()
            columns = (Item.id, Item.number, Item.key, Item.text, Item.split, Item.shuffle)
            items = [ItemRow(*row) for row in session.execute(select(*columns).order_by(Item.id))]
            new = session.execute(
                select(Label.id, Label.item_id, Label.value).where(Label.id > newest).order_by(Label.id)
            )
            tell(Added(result, items, list(new)))

    def set_overlap(self, overlap: int) -> None:
        with self._act("set_overlap", overlap=overlap) as (session, tell):
            update_project(session, self.project_id, settings={"overlap": overlap})
            tell(_live(session, self.clock.now))

    def begin_round(self) -> None:
        """What a round does first: it looks at the labels, and those from now on count towards the next one."""
        with self._act("begin_round") as (session, tell):
            project = locked_project(session, self.project_id)
            cutoff = session.scalar(select(func.max(Label.id)).where(Label.project_id == project.id)) or 0
            session.execute(update(Job).where(Job.state == "queued", Job.kind == "round").values(state="succeeded"))
            rounds.note_cutoff(session, project.id, project.n_labels)
            tell(cutoff)

    def publish(self, numbers: Sequence[int], round_n: int, cutoff: int) -> None:
        """What a round does last: its ranking takes the place of the queue."""
        with self._act("publish", numbers=numbers, round_n=round_n, cutoff=cutoff) as (session, tell):
            lock_project(session, self.project_id)
            project = session.get_one(Project, self.project_id, populate_existing=True)
            tell(replace_queue(session, project, round_n, round_n, ranking(numbers)))
            project.ranked_round, project.ranked_cutoff = round_n, cutoff
            rounds.request_round_if_due(session, project)

    def archive(self) -> None:
        with self._act("archive") as (session, tell):
            archive_project(session, self.project_id, "mail")
            tell(None)

    def restore(self) -> None:
        with self._act("restore") as (session, tell):
            update_project(session, self.project_id, archived=False)
            tell(None)

    def leave(self, person: int) -> None:
        with self._act("leave", person=person) as (session, tell):
            remove_member(session, self.project_id, self.people[person].user_id)
            tell(None)

    def come_back(self, person: int) -> None:
        with self._act("come_back", person=person) as (session, tell):
            add_member(session, self.project_id, self.people[person].email, "annotator")
            tell(None)


def ranking(numbers: Sequence[int]) -> list[QueueRow]:
    """Rows of a round, the best first, each with a reason and a prediction."""
    return [
        QueueRow(number, 1.0 - place / 1000, f"reason {number}", "strategy", None, CLASSES[number % 2], 0.6)
        for place, number in enumerate(numbers)
    ]


_LEASE: tuple[Any, ...] = (
    Lease.id,
    Lease.item_id,
    Lease.user_id,
    Lease.seconds,
    Lease.created_at,
    Lease.expires_at,
    Lease.position,
    Lease.round,
    Lease.score,
    Lease.reason,
    Lease.mechanism,
    Lease.probability,
    Lease.label,
)
_ALL_LEASES = select(*_LEASE).order_by(Lease.id)


def _leases(session: Session, ids: Sequence[int]) -> list[LeaseRow]:
    rows = {row.id: LeaseRow(*row) for row in session.execute(select(*_LEASE).where(Lease.id.in_(ids)))}
    return [rows[lease_id] for lease_id in ids]


def all_leases(session: Session) -> list[LeaseRow]:
    """Every lease that there is, live or ended."""
    return [LeaseRow(*row) for row in session.execute(_ALL_LEASES)]


def _live(session: Session, now: datetime) -> set[int]:
    return set(session.scalars(select(Lease.id).where(Lease.expires_at > now)))
