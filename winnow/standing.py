"""What stands on an item, who holds it, and how the project's counters follow from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, or_, select, update
from sqlalchemy.engine import Connection

from winnow.chunks import chunks
from winnow.db.tables import Item, Label, Lease, Project, QueueEntry

# One row for each pair of a standing label and a lease of the item; nearly always there is one of either at most.
_STATES = (
    select(
        Item.id,
        Item.split,
        Label.id.label("label_id"),
        Label.user_id.label("label_user"),
        Label.kind,
        Label.source,
        Lease.id.label("lease_id"),
        Lease.user_id,
        Lease.created_at,
        Lease.expires_at,
        Lease.round,
        Lease.student_version,
        Lease.mechanism,
        Lease.probability,
    )
    .outerjoin(Label, (Label.item_id == Item.id) & Label.superseded_at.is_(None))
    .outerjoin(
        Lease,
        (Lease.item_id == Item.id) & or_(Lease.user_id == bindparam("user"), Lease.expires_at > bindparam("now")),
    )
    .where(Item.project_id == bindparam("project"), Item.id.in_(bindparam("ids", expanding=True)))
    .order_by(Item.id, Label.id, Lease.id)
)
_CLOSE = (
    update(Item)
    .where(Item.id == bindparam("changed"))
    .values(standing=bindparam("standing_now"), is_open=bindparam("open_now"))
)
_DEQUEUE = delete(QueueEntry).where(QueueEntry.item_id == bindparam("closed"))


@dataclass(slots=True)
class Standing:
    """A label, skip or flag that stands."""

    id: int
    user_id: int | None
    kind: str
    source: str


@dataclass(slots=True)
class HeldLease:
    """A lease on the item: the caller's (live or not), or another's that is live."""

    id: int
    user_id: int
    created_at: datetime
    expires_at: datetime
    round: int
    student_version: int | None
    mechanism: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Tally:
    """What one item adds to the counters of its project, by the counter's name."""

    n_open: int
    n_open_holdout: int
    n_labeled: int
    n_skipped: int
    n_flagged: int
    n_labels: int
    n_holdout_labels: int
    n_behind: int


_COUNTERS = tuple(counter.name for counter in fields(Tally))


@dataclass(slots=True)
class ItemState:
    """An item under the project's lock: its split, what stands on it, and who holds it."""

    id: int
    split: str
    overlap: int
    rows: list[Standing] = field(default_factory=list)
    leases: list[HeldLease] = field(default_factory=list)

    @property
    def standing(self) -> int:
        """How many labels stand (skips and flags are none, nor is what a model said)."""
        return sum(row.kind == "label" and row.source != "model" for row in self.rows)

    @property
    def is_open(self) -> bool:
        """Whether it still needs labels: no test row, nothing imported on it, fewer labels than the overlap."""
        imported = any(row.source == "import" for row in self.rows)
        return self.split != "test" and not imported and self.standing < self.overlap

    def tally(self, cutoff: int) -> Tally:
        """What the item counts for; ``cutoff`` is the newest label that the ranking knows."""
        human = [row.id for row in self.rows if row.kind == "label" and row.source == "human"]
        is_open = self.is_open
        return Tally(
            n_open=int(is_open),
            n_open_holdout=int(is_open and self.split == "holdout"),
            n_labeled=int(self.standing > 0),
            n_skipped=int(any(row.kind == "skip" for row in self.rows)),
            n_flagged=int(any(row.kind == "flag" for row in self.rows)),
            n_labels=len(human),
            n_holdout_labels=int(bool(human) and self.split == "holdout"),
            n_behind=sum(label_id > cutoff for label_id in human),
        )

    def excess_leases(self, user_id: int, now: datetime, *, room_for: int = 0) -> list[int]:
        """The leases of others, newest first, that must end so that labels and live leases stay within the overlap."""
        live = sorted(
            (lease for lease in self.leases if lease.user_id != user_id and lease.expires_at > now),
            key=lambda lease: (lease.created_at, lease.id),
            reverse=True,
        )
        room = max(0, self.overlap - self.standing - room_for) if self.is_open else 0
        return [lease.id for lease in live[: max(0, len(live) - room)]]


def count_change(project: Project, before: Tally, after: Tally) -> None:
    """Move the counters of ``project`` by what one item changed."""
    for name in _COUNTERS:
        change = getattr(after, name) - getattr(before, name)
        if change:
            setattr(project, name, getattr(project, name) + change)


def load_states(
    connection: Connection, project: Project, item_ids: Collection[int], user_id: int, now: datetime
) -> dict[int, ItemState]:
    """The items of ``project`` among ``item_ids``, by id, with what stands on them and who holds them."""
    states: dict[int, ItemState] = {}
    overlap = int(project.settings["overlap"])
    for ids in chunks(sorted(item_ids)):
        for row in connection.execute(_STATES, {"project": project.id, "ids": ids, "user": user_id, "now": now}):
            state = states.get(row.id)
            if state is None:
                state = states[row.id] = ItemState(row.id, row.split, overlap)
            if row.label_id is not None and all(known.id != row.label_id for known in state.rows):
                state.rows.append(Standing(row.label_id, row.label_user, row.kind, row.source))
            if row.lease_id is not None and all(known.id != row.lease_id for known in state.leases):
                state.leases.append(_held(row))
    return states


def save_states(connection: Connection, states: Sequence[ItemState]) -> None:
    """Write what the items' columns say of their labels; what is no longer open leaves the queue."""
    if not states:
        return
    connection.execute(_CLOSE, [{"changed": s.id, "standing_now": s.standing, "open_now": s.is_open} for s in states])
    closed = [{"closed": state.id} for state in states if not state.is_open]
    if closed:
        connection.execute(_DEQUEUE, closed)


def _held(row: Any) -> HeldLease:
    return HeldLease(
        id=row.lease_id,
        user_id=row.user_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        round=row.round,
        student_version=row.student_version,
        mechanism=row.mechanism,
        probability=row.probability,
    )
