"""Who holds what: a lease is one row for each item and person, given again under the same id.

A lease that ran out stays, so that a late label still knows what drew its item. Nothing here counts as held unless
``expires_at`` lies in the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, func, literal, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.session import connection_of, lock_project
from winnow.db.tables import Item, Label, Lease, Project
from winnow.errors import Conflict, FieldError, Invalid, NotFound
from winnow.pool import features_of

#: Seconds that each item of a batch is worth when the caller does not say how long to hold it.
SECONDS_AN_ITEM = 60.0

LEASES: Table = Lease.metadata.tables["leases"]
_RENEWED = (
    "seconds",
    "created_at",
    "expires_at",
    "position",
    "round",
    "student_version",
    "score",
    "reason",
    "mechanism",
    "probability",
    "label",
    "confidence",
)


@dataclass(frozen=True, slots=True)
class HeldItem:
    """An item as its holder sees it. Score, reason and prediction are null on rows that are drawn at random."""

    item_id: int
    key: str | None
    text: str | None
    meta: dict[str, Any] | None
    features: list[float] | None
    score: float | None
    reason: str | None
    label: str | None
    confidence: float | None
    lease_id: int
    expires_at: datetime


def _upsert(insert: Any) -> Any:
    statement = insert(LEASES)
    return statement.on_conflict_do_update(
        index_elements=["item_id", "user_id"], set_={name: statement.excluded[name] for name in _RENEWED}
    ).returning(LEASES.c.id, LEASES.c.item_id)


_UPSERT = {"sqlite": _upsert(sqlite.insert), "postgresql": _upsert(postgresql.insert)}
_END = update(LEASES).where(LEASES.c.id == bindparam("lease")).values(expires_at=bindparam("now"))
_HELD = (
    select(
        Item.id.label("item_id"),
        Item.key,
        Item.text,
        Item.meta,
        Lease.score,
        Lease.reason,
        Lease.label,
        Lease.confidence,
        Lease.id.label("lease_id"),
        Lease.expires_at,
    )
    .join(Item, Item.id == Lease.item_id)
    .where(Lease.project_id == bindparam("project"), Lease.user_id == bindparam("user"))
)


def put_leases(connection: Connection, rows: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Write leases, reusing the row of the same item and person; returns lease ids by item id."""
    statement = _UPSERT[connection.dialect.name]
    found = connection.execute(statement, rows[0] if len(rows) == 1 else list(rows))
    return {item_id: lease_id for lease_id, item_id in found}


def list_leases(
    session: Session, project: Project, user_id: int, *, after: int | None = None, limit: int | None = None
) -> list[HeldItem]:
    """What ``user_id`` holds now, in the order in which it was handed out: ``limit`` items at most.

    ``after`` is the lease that the last page ended with; it may have ended meanwhile, which keeps its row.
    """
    order = (Lease.created_at, Lease.position, Lease.id)
    query = _HELD.where(Lease.expires_at > utcnow()).order_by(*order).limit(limit)
    if after is not None:
        ended_with = select(*order).where(Lease.id == after, Lease.project_id == project.id, Lease.user_id == user_id)
        place = connection_of(session).execute(ended_with).one_or_none()
        if place is None:
            message = "is not a cursor; give the `next` of the page before"
            raise Invalid(f"cursor {message}.", errors=[FieldError(("query", "cursor"), message)])
        behind = tuple_(*(literal(value, column.type) for value, column in zip(place, order, strict=True)))
        query = query.where(tuple_(*order) > behind)
    rows = connection_of(session).execute(query, {"project": project.id, "user": user_id}).all()
    features = features_of(session, [row.item_id for row in rows]) if project.task == "features" else {}
    return [HeldItem(**row._mapping, features=features.get(row.item_id)) for row in rows]


def hold_item(
    session: Session, project: Project, user_id: int, item_id: int, row: dict[str, Any], *, live: bool
) -> HeldItem:
    """Give ``item_id`` to ``user_id`` with the values of ``row``; with ``live=False`` the lease has already ended."""
    now = utcnow()
    seconds = max(float(project.settings["lease_seconds"]), SECONDS_AN_ITEM)
    blank = {"student_version": None, "score": None, "reason": None, "label": None, "confidence": None}
    values = {
        **blank,
        **row,
        "project_id": project.id,
        "item_id": item_id,
        "user_id": user_id,
        "seconds": seconds,
        "created_at": now,
        "expires_at": now + timedelta(seconds=seconds) if live else now,
        "position": 0,
    }
    put_leases(connection_of(session), [values])
    found = (
        connection_of(session)
        .execute(_HELD.where(Lease.item_id == item_id), {"project": project.id, "user": user_id})
        .one()
    )
    features = features_of(session, [item_id]) if project.task == "features" else {}
    return HeldItem(**found._mapping, features=features.get(item_id))


def renew_lease(session: Session, project: Project, user_id: int, lease_id: int) -> Lease:
    """Hold on for as long again as the lease was given for.

    Raises:
        NotFound: it is not the caller's.
        Conflict: it ran out and the item has gone to others, or the caller has answered it.
    """
    lock_project(session, project.id)
    lease = _own(session, project, user_id, lease_id)
    now = utcnow()
    if lease.expires_at <= now and not _has_room(session, project, lease, now):
        raise Conflict("This lease ran out and the item is no longer free; ask for another batch.")
    lease.expires_at = now + timedelta(seconds=lease.seconds)
    session.flush()
    return lease


def release_lease(session: Session, project: Project, user_id: int, lease_id: int) -> None:
    """Give the item back, so that it can be served at once; nothing happens if the lease has ended already."""
    lock_project(session, project.id)
    lease = _own(session, project, user_id, lease_id)
    now = utcnow()
    if lease.expires_at > now:
        lease.expires_at = now
        session.flush()


def end_leases(connection: Connection, lease_ids: Sequence[int], now: datetime) -> None:
    """End these leases now."""
    connection.execute(_END, [{"lease": lease_id, "now": now} for lease_id in lease_ids])


def pending_numbers(session: Session, project_id: int) -> list[int]:
    """The numbers of the items that anybody holds now."""
    held = select(Lease.item_id).where(Lease.project_id == project_id, Lease.expires_at > utcnow())
    return list(session.scalars(select(Item.number).where(Item.id.in_(held)).order_by(Item.number)))


def _own(session: Session, project: Project, user_id: int, lease_id: int) -> Lease:
    lease = session.get(Lease, lease_id, populate_existing=True)
    if lease is None or lease.user_id != user_id or lease.project_id != project.id:
        raise NotFound("You hold no lease with this id in this project.")
    return lease


def _has_room(session: Session, project: Project, lease: Lease, now: datetime) -> bool:
    item = session.get_one(Item, lease.item_id)
    others = session.scalar(
        select(func.count()).where(Lease.item_id == item.id, Lease.expires_at > now, Lease.id != lease.id)
    )
    answered = session.scalar(
        select(Label.id).where(Label.item_id == item.id, Label.user_id == lease.user_id, Label.superseded_at.is_(None))
    )
    overlap = int(project.settings["overlap"])
    return item.is_open and answered is None and item.standing + (others or 0) < overlap
