"""Labels: writing and undoing them, and reading those that stand.

Labels are append-only. A later answer of the same person supersedes the earlier one; a person's label supersedes an
imported one, and a model's. Everything here runs under the project's lock, so the counters are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select, text, update
from sqlalchemy.orm import Session

from winnow.chunks import chunks
from winnow.counters import save_counters
from winnow.db.base import utcnow
from winnow.db.session import connection_of, lock_project
from winnow.db.tables import Job, Label, LabelRequest, Project
from winnow.errors import Conflict, NotFound
from winnow.intake import unknown_class
from winnow.label_entries import Entry, EntryError, foreign_item, foreign_lease, read_entry
from winnow.label_rows import TrainingLabels, standing_for_training, stream_labels
from winnow.leases import HeldItem, end_leases, hold_item
from winnow.queue import labels_behind
from winnow.rounds import labels_until_due, request_round_if_due
from winnow.standing import HeldLease, ItemState, Standing, count_change, load_states, save_states

__all__ = [
    "Accepted",
    "Rejected",
    "TrainingLabels",
    "standing_for_training",
    "stream_labels",
    "undo_label",
    "write_labels",
]

_REQUESTS = select(
    LabelRequest.request_id, LabelRequest.body_digest, LabelRequest.item_id, LabelRequest.label_id
).where(
    LabelRequest.project_id == bindparam("project"),
    LabelRequest.user_id == bindparam("user"),
    LabelRequest.request_id.in_(bindparam("ids", expanding=True)),
)
_SUPERSEDE = (
    update(Label)
    .where(Label.id == bindparam("old"))
    .values(superseded_at=bindparam("at"), superseded_by=bindparam("by"))
)
_ROUND_WAITS = select(Job.id).where(
    Job.project_id == bindparam("project"), text("jobs.kind = 'round' AND jobs.state = 'queued'")
)
_INSERT = insert(Label)
_INSERT_REQUEST = insert(LabelRequest)


@dataclass(frozen=True)
class Accepted:
    """A label that was written: the item's id and the label's."""

    item_id: int
    label_id: int


@dataclass(frozen=True)
class Rejected:
    """An entry that was not: the item as it was given (cut to a readable length), and why."""

    item: str | None
    reason: str


def write_labels(
    session: Session, project: Project, user_id: int, entries: Sequence[Any]
) -> tuple[list[Accepted], list[Rejected]]:
    """Write what can be written of ``entries`` (as they came), in their order; the others are rejected with a reason.

    A label is accepted after its lease ran out, and without one. When labels and live leases of an item would exceed
    the overlap, the newest leases of others end. Asks for a round when one is due.
    """
    lock_project(session, project.id)
    written = _Writing(session, project, user_id).run(entries)
    if written[0]:
        save_counters(session, project)
        _ask_for_round(session, project)
    return written


def _ask_for_round(session: Session, project: Project) -> None:
    if labels_until_due(project) > 0:
        return
    waiting = connection_of(session).execute(_ROUND_WAITS, {"project": project.id}).first()
    if waiting is None:
        request_round_if_due(session, project)


class _Writing:
    def __init__(self, session: Session, project: Project, user_id: int) -> None:
        self._connection = connection_of(session)
        self._project = project
        self._user_id = user_id
        self._now = utcnow()
        labels_behind(session, project)  # bring the count up to the present ranking before it is moved
        self._classes = [str(label["name"]) for label in project.labels]
        self._states: dict[int, ItemState] = {}
        self._requests: dict[str, tuple[str, Accepted]] = {}
        self._new_requests: list[dict[str, Any]] = []
        self._changed: set[int] = set()
        self._ended: list[int] = []

    def run(self, raws: Sequence[Any]) -> tuple[list[Accepted], list[Rejected]]:
        accepted: list[Accepted] = []
        rejected: list[Rejected] = []
        entries: list[Entry | EntryError] = [self._read(raw) for raw in raws]
        good = [entry for entry in entries if isinstance(entry, Entry)]
        item_ids = {entry.item_id for entry in good}
        self._states = load_states(self._connection, self._project, item_ids, self._user_id, self._now)
        self._load_requests({entry.request_id for entry in good if entry.request_id is not None})
        for raw, entry in zip(raws, entries, strict=True):
            try:
                if isinstance(entry, EntryError):
                    raise entry
                accepted.append(self._write(entry))
            except EntryError as error:
                rejected.append(Rejected(_item_given(raw), error.reason))
        self._save()
        return accepted, rejected

    def _read(self, raw: Any) -> Entry | EntryError:
        try:
            return read_entry(raw)
        except EntryError as error:
            return error

    def _load_requests(self, request_ids: set[str]) -> None:
        parameters = {"project": self._project.id, "user": self._user_id}
        for chunk in chunks(sorted(request_ids)):
            for row in self._connection.execute(_REQUESTS, {**parameters, "ids": chunk}):
                self._requests[row.request_id] = (row.body_digest, Accepted(row.item_id, row.label_id))

    def _write(self, entry: Entry) -> Accepted:
        if entry.request_id is not None and entry.request_id in self._requests:
            digest, answer = self._requests[entry.request_id]
            if digest != entry.body_digest:
                raise EntryError("This request_id was used for another body; give each label its own.")
            return answer
        if entry.kind == "label" and entry.value not in self._classes:
            raise EntryError(unknown_class(str(entry.value), self._classes))
        state = self._states.get(entry.item_id)
        if state is None:
            raise EntryError(foreign_item(entry.item_id))
        if state.split == "test":
            raise EntryError("This item belongs to the test set, whose labels are not changed here.")
        lease = next((lease for lease in state.leases if lease.user_id == self._user_id), None)
        if entry.lease_id is not None and (lease is None or lease.id != entry.lease_id):
            raise EntryError(foreign_lease(entry.lease_id))
        before = state.tally(self._project.behind_cutoff)
        answer = Accepted(state.id, self._insert(entry, state, lease))
        self._end_leases(state, lease)
        count_change(self._project, before, state.tally(self._project.behind_cutoff))
        self._changed.add(state.id)
        if entry.request_id is not None:
            self._remember(entry, answer)
        return answer

    def _insert(self, entry: Entry, state: ItemState, lease: HeldLease | None) -> int:
        old = [
            row
            for row in state.rows
            if row.user_id == self._user_id or (entry.kind == "label" and row.source in ("import", "model"))
        ]
        for row in old:
            self._connection.execute(_SUPERSEDE, {"old": row.id, "at": self._now, "by": None})
        values = {
            "project_id": self._project.id,
            "item_id": state.id,
            "user_id": self._user_id,
            "kind": entry.kind,
            "value": entry.value,
            "reason": entry.reason,
            "source": "human",
            "round": lease.round if lease else self._project.ranked_round,
            "student_version": lease.student_version if lease else None,
            "mechanism": lease.mechanism if lease else "review",
            "probability": lease.probability if lease else None,
            "seconds": entry.seconds,
            "created_at": self._now,
        }
        key = self._connection.execute(_INSERT, values).inserted_primary_key
        assert key is not None  # noqa: S101 — one row was inserted
        label_id = int(key[0])
        for row in old:
            self._connection.execute(_SUPERSEDE, {"old": row.id, "at": self._now, "by": label_id})
        state.rows = [row for row in state.rows if row not in old]
        state.rows.append(Standing(label_id, self._user_id, entry.kind, "human"))
        return label_id

    def _end_leases(self, state: ItemState, mine: HeldLease | None) -> None:
        ended = state.excess_leases(self._user_id, self._now)
        if mine is not None and mine.expires_at > self._now:
            ended.append(mine.id)
        for lease in state.leases:
            if lease.id in ended:
                lease.expires_at = self._now
        self._ended += ended

    def _remember(self, entry: Entry, answer: Accepted) -> None:
        assert entry.request_id is not None  # noqa: S101 — the caller looked
        self._requests[entry.request_id] = (entry.body_digest, answer)
        self._new_requests.append(
            {
                "project_id": self._project.id,
                "user_id": self._user_id,
                "request_id": entry.request_id,
                "body_digest": entry.body_digest,
                "item_id": answer.item_id,
                "label_id": answer.label_id,
                "created_at": self._now,
            }
        )

    def _save(self) -> None:
        if self._ended:
            end_leases(self._connection, self._ended, self._now)
        save_states(self._connection, [self._states[item_id] for item_id in sorted(self._changed)])
        if self._new_requests:
            self._connection.execute(_INSERT_REQUEST, self._new_requests)


def _item_given(raw: Any) -> str | None:
    item = raw.get("item") if isinstance(raw, dict) else None
    return None if item is None else str(item)[:200]


def undo_label(session: Session, project: Project, user_id: int, label_id: int) -> HeldItem:
    """Take back one's own label, skip or flag; what it superseded stays superseded. The item is held by ``user_id``.

    Where others have labelled the item as often as it takes, the lease that comes back has already ended.

    Raises:
        NotFound: there is no such label of theirs.
        Conflict: it does not stand any more.
    """
    lock_project(session, project.id)
    label = session.get(Label, label_id, populate_existing=True)
    if label is None or label.project_id != project.id or label.user_id != user_id:
        raise NotFound("You have no label with this id in this project.")
    if label.superseded_at is not None:
        raise Conflict("This label does not stand any more: it was undone or changed.")
    now = utcnow()
    labels_behind(session, project)
    connection = connection_of(session)
    state = load_states(connection, project, {label.item_id}, user_id, now)[label.item_id]
    before = state.tally(project.behind_cutoff)
    state.rows = [row for row in state.rows if row.id != label_id]
    label.superseded_at = now
    session.flush()
    count_change(project, before, state.tally(project.behind_cutoff))
    ended = state.excess_leases(user_id, now, room_for=1)
    if ended:
        end_leases(connection, ended, now)
    save_states(connection, [state])
    save_counters(session, project)
    provenance = {
        "round": label.round,
        "student_version": label.student_version,
        "mechanism": label.mechanism or "review",
        "probability": label.probability,
    }
    return hold_item(session, project, user_id, label.item_id, provenance, live=state.is_open)
