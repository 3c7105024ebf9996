"""Handing out items: the ranked reserve of a project, mixed with holdout and exploration.

A claim takes the project's lock, so what it reads cannot change under it. It reads candidates in their order with one
statement for each stream, by index, and stops when it has enough: its cost does not grow with the pool.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, case, delete, exists, func, insert, select, text
from sqlalchemy.orm import Session

from winnow.counters import save_counters
from winnow.db.base import utcnow
from winnow.db.session import connection_of, lock_project
from winnow.db.tables import Item, Label, Lease, Project, QueueEntry, Round
from winnow.holdout import LEAST_ITEMS, holdout_precision
from winnow.leases import SECONDS_AN_ITEM, HeldItem, list_leases, put_leases, release_lease, renew_lease
from winnow.pool import features_of

__all__ = ["Batch", "QueueRow", "claim_batch", "list_leases", "release_lease", "renew_lease", "replace_queue"]

#: Hundredths of the served items that are drawn from the holdout, until it is precise enough, and after that.
MEASURING_PERCENT = 30
TRICKLE_PERCENT = 2
#: Hundredths of the rest that are drawn uniformly.
EXPLORATION_PERCENT = 10
#: So many are served at the measuring rate, whatever the interval says.
MEASURED_FIRST = 100
_CHUNK = 500

HOLDOUT, EXPLORATION, STRATEGY = "holdout", "exploration", "strategy"
_SPLIT = {HOLDOUT: "holdout", EXPLORATION: "pool", STRATEGY: "pool"}


@dataclass(frozen=True)
class Batch:
    """Leased items in rank order. ``round`` 0: nothing ranked them. ``remaining`` still need labels."""

    items: list[HeldItem]
    round: int
    labels_behind: int
    remaining: int


@dataclass(frozen=True)
class QueueRow:
    """A ranked item, the best first; ``label`` and ``confidence`` are the student's prediction."""

    item_number: int
    score: float | None
    reason: str | None
    mechanism: str
    probability: float | None
    label: str | None
    confidence: float | None


_live = (Lease.item_id == Item.id) & (Lease.expires_at > bindparam("now"))
_AVAILABLE = (
    # Spelled as in the partial index: SQLite uses it only for the very same term.
    text("items.is_open"),
    Item.standing + select(func.count()).select_from(Lease).where(_live).scalar_subquery() < bindparam("overlap"),
    ~exists().where(_live, Lease.user_id == bindparam("user")),
    ~exists().where(Label.item_id == Item.id, Label.user_id == bindparam("user"), Label.superseded_at.is_(None)),
)
_ITEM = (Item.id, Item.key, Item.text, Item.meta)
_RANKED = (
    select(
        *_ITEM,
        QueueEntry.round,
        QueueEntry.student_version,
        QueueEntry.score,
        QueueEntry.reason,
        QueueEntry.mechanism,
        QueueEntry.probability,
        QueueEntry.label,
        QueueEntry.confidence,
    )
    .select_from(QueueEntry)
    .join(Item, Item.id == QueueEntry.item_id)
    .where(QueueEntry.project_id == bindparam("project"), *_AVAILABLE)
    .order_by(QueueEntry.rank)
    .limit(bindparam("wanted"))
)
_SHUFFLED = (
    select(*_ITEM)
    .where(Item.project_id == bindparam("project"), Item.split == bindparam("split"), *_AVAILABLE)
    .order_by(Item.shuffle, Item.id)
    .limit(bindparam("wanted"))
)
_HELD = (
    select(Item.split)
    .join(Lease, Lease.item_id == Item.id)
    .where(Lease.project_id == bindparam("project"), Lease.expires_at > bindparam("now"), text("items.is_open"))
    .group_by(Item.id, Item.split, Item.standing)
    .having(
        (Item.standing + func.count() >= bindparam("overlap"))
        | (func.max(case((Lease.user_id == bindparam("user"), 1), else_=0)) == 1)
    )
    .subquery()
)
_N_HELD = select(_HELD.c.split, func.count()).group_by(_HELD.c.split)
_HAS_QUEUE = select(QueueEntry.rank).where(QueueEntry.project_id == bindparam("project")).limit(1)


def claim_batch(
    session: Session,
    project: Project,
    user_id: int,
    size: int,
    lease_seconds: float | None = None,
    now: datetime | None = None,
) -> Batch:
    """Lease up to ``size`` items to ``user_id``; fewer or none only when no more are left for this caller.

    ``project`` was read under its lock (:mod:`winnow.counters`). ``lease_seconds`` is honoured as given;
    without it leases last max(the project's ``lease_seconds``, 60 × size).
    """
    lock_project(session, project.id)
    now = now or utcnow()
    if lease_seconds is None:
        lease_seconds = max(float(project.settings["lease_seconds"]), SECONDS_AN_ITEM * size)
    picked, ranked = _pick(session, project, user_id, size, now)
    items = _lease(session, project, user_id, picked, lease_seconds, now) if picked else []
    project.n_served += len(picked)
    behind = labels_behind(session, project) if ranked else project.n_labels
    save_counters(session, project)
    return Batch(items, project.ranked_round if ranked else 0, behind, project.n_open)


def labels_behind(session: Session, project: Project) -> int:
    """Standing labels of people that the ranking does not know; counted once for each ranking, then kept."""
    if project.behind_cutoff != project.ranked_cutoff:
        counted = select(func.count()).where(
            Label.project_id == project.id,
            Label.id > project.ranked_cutoff,
            Label.superseded_at.is_(None),
            Label.kind == "label",
            Label.source == "human",
        )
        project.n_behind = connection_of(session).execute(counted).scalar_one()
        project.behind_cutoff = project.ranked_cutoff
    return project.n_behind


def replace_queue(
    session: Session, project: Project, round_n: int, student_version: int | None, rows: Sequence[QueueRow]
) -> int:
    """Put ``rows`` in the place of the queue, without those that can no longer be served; leases are not touched.

    Call it under the project's lock, in the transaction that publishes the round. Returns how many rows it has.
    """
    lock_project(session, project.id)
    connection = connection_of(session)
    connection.execute(delete(QueueEntry).where(QueueEntry.project_id == project.id))
    servable: dict[int, int] = {}
    for start in range(0, len(rows), _CHUNK):
        numbers = [int(row.item_number) for row in rows[start : start + _CHUNK]]
        found = select(Item.number, Item.id).where(
            Item.project_id == project.id, Item.number.in_(numbers), Item.split == "pool", text("items.is_open")
        )
        servable.update((number, item_id) for number, item_id in connection.execute(found))
    entries: list[dict[str, Any]] = []
    for row in rows:
        item_id = servable.pop(int(row.item_number), None)
        if item_id is not None:
            entries.append(_entry(project.id, len(entries), item_id, round_n, student_version, row))
    if entries:
        connection.execute(insert(QueueEntry), entries)
    return len(entries)


def _entry(
    project_id: int, rank: int, item_id: int, round_n: int, student_version: int | None, row: QueueRow
) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "rank": rank,
        "item_id": item_id,
        "round": round_n,
        "student_version": student_version,
        "score": None if row.score is None else float(row.score),
        "reason": row.reason,
        "mechanism": row.mechanism,
        "probability": None if row.probability is None else float(row.probability),
        "label": row.label,
        "confidence": None if row.confidence is None else float(row.confidence),
    }


def stream_of(slot: int, holdout_percent: int) -> str:
    """Which stream the ``slot``-th served item of a project is drawn from: evenly spread, without a random number.

    >>> [stream_of(slot, 30)[0] for slot in range(14)]
    ['s', 's', 's', 'h', 's', 's', 'h', 's', 's', 'h', 's', 's', 's', 'h']
    """
    held_before, held_after = slot * holdout_percent // 100, (slot + 1) * holdout_percent // 100
    if held_after > held_before:
        return HOLDOUT
    rest = slot - held_before
    explored = (rest + 1) * EXPLORATION_PERCENT // 100 > rest * EXPLORATION_PERCENT // 100
    return EXPLORATION if explored else STRATEGY


def _holdout_percent(session: Session, project: Project) -> int:
    setting = project.settings.get("holdout", "auto")
    if setting is False or project.n_test:
        return 0
    if project.n_served < MEASURED_FIRST or project.n_holdout_labels < LEAST_ITEMS:
        return MEASURING_PERCENT
    precision = holdout_precision(setting)
    if project.n_holdout_labels >= 0.75 / precision**2:
        return TRICKLE_PERCENT
    metrics = (
        connection_of(session)
        .execute(select(Round.metrics).where(Round.project_id == project.id, Round.n == project.ranked_round))
        .scalar_one_or_none()
    )
    measured = (metrics or {}).get("accuracy")
    wide = not measured or (measured["high"] - measured["low"]) / 2 > precision
    return MEASURING_PERCENT if wide else TRICKLE_PERCENT


class _Streams:
    """The candidates of one claim, read when a stream is first drawn from, each item at most once."""

    def __init__(self, session: Session, project: Project, user_id: int, size: int, now: datetime) -> None:
        self._project = project
        self._connection = connection_of(session)
        self._parameters = {
            "project": project.id,
            "user": user_id,
            "overlap": int(project.settings["overlap"]),
            "now": now,
            "wanted": size,
        }
        self._taken: set[int] = set()
        self._drawn: Counter[str] = Counter()
        self._held: dict[str, int] | None = None
        self._rows: dict[str, Iterator[Row[Any]]] = {}

    def draw(self, stream: str) -> Row[Any] | None:
        if stream not in self._rows:
            self._rows[stream] = iter(self._read(stream))
        for row in self._rows[stream]:
            if row.id not in self._taken:
                self._taken.add(row.id)
                self._drawn[_SPLIT[stream]] += 1
                return row
        return None

    def probability(self, stream: str) -> float:
        """With which the item that was just drawn from a random stream was drawn: one of those that were left in it."""
        if self._held is None:
            rows = self._connection.execute(_N_HELD, self._parameters)
            self._held = {row[0]: row[1] for row in rows}
        split, project = _SPLIT[stream], self._project
        n_open = project.n_open_holdout if stream == HOLDOUT else project.n_open - project.n_open_holdout
        return 1 / max(1, n_open - self._held.get(split, 0) - (self._drawn[split] - 1))

    def _read(self, stream: str) -> Sequence[Row[Any]]:
        if stream == STRATEGY:
            return self._connection.execute(_RANKED, self._parameters).all()
        return self._connection.execute(_SHUFFLED, {**self._parameters, "split": _SPLIT[stream]}).all()


def _pick(
    session: Session, project: Project, user_id: int, size: int, now: datetime
) -> tuple[list[dict[str, Any]], bool]:
    """What to lease, in order, and whether the queue served, or would have had its turn come."""
    streams = _Streams(session, project, user_id, size, now)
    percent = _holdout_percent(session, project)
    picked: list[dict[str, Any]] = []
    ranked = asked = False
    for slot in range(project.n_served, project.n_served + size):
        wish = stream_of(slot, percent)
        asked = asked or wish == STRATEGY
        order = (wish, *(stream for stream in (STRATEGY, EXPLORATION, HOLDOUT) if stream != wish))
        for stream in order:
            row = streams.draw(stream)
            if row is not None:
                ranked = ranked or stream == STRATEGY
                picked.append(_values(project, row, stream, streams))
                break
        else:
            break
    if not ranked and not asked and picked:
        has_queue = connection_of(session).execute(_HAS_QUEUE, {"project": project.id}).first()
        ranked = has_queue is not None
    return picked, ranked


def _values(project: Project, row: Row[Any], stream: str, streams: _Streams) -> dict[str, Any]:
    values: dict[str, Any] = {"row": row, "mechanism": stream, "round": 0, "probability": None}
    if stream == STRATEGY:
        names = ("round", "student_version", "score", "reason", "mechanism", "probability", "label", "confidence")
        return values | {name: getattr(row, name) for name in names}
    # Drawn at random: nothing on them that could lead whoever labels, or tell holdout from exploration.
    blank = dict.fromkeys(("student_version", "score", "reason", "label", "confidence"))
    return values | blank | {"round": project.ranked_round, "probability": streams.probability(stream)}


def _lease(
    session: Session,
    project: Project,
    user_id: int,
    picked: list[dict[str, Any]],
    seconds: float,
    now: datetime,
) -> list[HeldItem]:
    expires_at = now + timedelta(seconds=seconds)
    given = {
        "project_id": project.id,
        "user_id": user_id,
        "seconds": seconds,
        "created_at": now,
        "expires_at": expires_at,
    }
    rows = [row.pop("row") for row in picked]
    leases = [
        given | values | {"item_id": row.id, "position": position}
        for position, (row, values) in enumerate(zip(rows, picked, strict=True))
    ]
    ids = put_leases(connection_of(session), leases)
    features = features_of(session, [row.id for row in rows]) if project.task == "features" else {}
    return [
        HeldItem(
            item_id=row.id,
            key=row.key,
            text=row.text,
            meta=row.meta,
            features=features.get(row.id),
            score=values["score"],
            reason=values["reason"],
            label=values["label"],
            confidence=values["confidence"],
            lease_id=ids[row.id],
            expires_at=expires_at,
        )
        for row, values in zip(rows, picked, strict=True)
    ]
