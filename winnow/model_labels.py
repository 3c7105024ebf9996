"""Labels that a student gave: written by runs of "label the rest", page by page, and taken back run by run.

They stand beside what people say and never in its place: they close no item, move no counter, are trained on by nobody
and measure nothing. Whoever labels such an item supersedes them. A run's labels are those of its project with the
source ``model`` between the two ids that the run wrote down; only one run of a project works at a time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult, bindparam, exists, func, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session, aliased

from winnow.chunks import chunks
from winnow.db.base import utcnow
from winnow.db.session import connection_of, lock_project
from winnow.db.tables import Item, Job, Label, Student
from winnow.errors import Conflict, NotFound
from winnow.jobs import create_job

RUN, UNDO = "label-rest", "label-undo"
#: What is written of such labels where others name how an item was drawn.
MECHANISM = "rest"

_OF_A_MODEL = (Label.source == "model", Label.superseded_at.is_(None))
_REPLACE = (
    update(Label)
    .where(Label.id == bindparam("old"))
    .values(superseded_at=bindparam("at"), superseded_by=bindparam("by"))
)


@dataclass(frozen=True)
class PoolItem:
    """An item of the pool: its number, and whether it is ``left``: nobody labelled, skipped or flagged it."""

    number: int
    left: bool


def request_run(
    session: Session, project_id: int, student: Student, *, alpha: float, confidence: float, dry_run: bool, user_id: int
) -> Job:
    """Ask for a run; the same one that already waits or works is that run.

    Raises:
        Conflict: another run, or the undoing of one, is under way.
    """
    lock_project(session, project_id)
    payload = {"version": student.version, "alpha": alpha, "confidence": confidence, "dry_run": dry_run}
    active = _active(session, project_id)
    if active is not None and active.kind == RUN and active.payload == payload:
        return active
    if active is not None:
        what = "Labels of a run are being taken back" if active.kind == UNDO else "Another run labels the rest"
        raise Conflict(f"{what} at this moment; wait for job {active.id}, or cancel it.")
    return create_job(session, RUN, project_id, payload, user_id)


def request_undo(session: Session, project_id: int, run_id: int, user_id: int) -> Job:
    """Ask to take back all labels of a run that still stand.

    Raises:
        NotFound: there is no such run in this project.
        Conflict: it wrote nothing, or a run is under way.
    """
    lock_project(session, project_id)
    run = session.get(Job, run_id)
    if run is None or run.project_id != project_id or run.kind != RUN:
        raise NotFound("There is no such run in this project.")
    active = _active(session, project_id)
    if active is not None and active.kind == UNDO and active.payload.get("run") == run_id:
        return active
    if active is not None:
        raise Conflict(f"Job {active.id} works on the model's labels at this moment; wait for it, or cancel it.")
    written = range_of(run)
    if written is None:
        raise Conflict("This run wrote no labels: there is nothing to take back.")
    return create_job(session, UNDO, project_id, {"run": run_id, "first": written[0], "last": written[1]}, user_id)


def _active(session: Session, project_id: int) -> Job | None:
    return session.scalar(
        select(Job)
        .where(Job.project_id == project_id, Job.kind.in_((RUN, UNDO)), Job.state.in_(("queued", "running")))
        .limit(1)
    )


def list_runs(
    session: Session, project_id: int, *, before: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Runs, the newest first, each with the number of its labels that stand."""
    wanted = select(Job).where(Job.project_id == project_id, Job.kind == RUN).order_by(Job.id.desc()).limit(limit)
    found = session.scalars(wanted if before is None else wanted.where(Job.id < before)).all()
    return [_shown(session, run) for run in found]


def _shown(session: Session, run: Job) -> dict[str, Any]:
    result: Mapping[str, Any] = run.result or {}
    written = range_of(run)
    return {
        "id": str(run.id),
        "state": run.state,
        "created_at": run.created_at,
        **{name: run.payload[name] for name in ("version", "alpha", "confidence", "dry_run")},
        **{name: result.get(name) for name in ("threshold", "bound", "coverage", "accepted", "reason")},
        "standing": 0 if written is None else count_standing(session, run.project_id or 0, *written),
    }


def range_of(run: Job) -> tuple[int, int] | None:
    """The ids of the first and the last label that a run wrote, whether it came to its end or not."""
    state = run.checkpoint or {}
    return (int(state["first"]), int(state["last"])) if state.get("first") is not None else None


def count_standing(session: Session, project_id: int, first: int, last: int) -> int:
    """How many labels of models with these ids stand."""
    wanted = select(func.count()).where(Label.project_id == project_id, Label.id.between(first, last), *_OF_A_MODEL)
    return session.scalar(wanted) or 0


def pool_page(session: Session, project_id: int, after: int, below: int, limit: int) -> list[PoolItem]:
    """Items that came without a label and are not held out, with numbers above ``after``, ascending."""
    standing = (Label.item_id == Item.id) & Label.superseded_at.is_(None)
    answered = exists().where(standing, Label.source != "model")
    rows = session.execute(
        select(Item.number, answered)
        .where(Item.project_id == project_id, Item.split == "pool", Item.number > after, Item.number < below)
        .where(~exists().where(standing, Label.source == "import"))
        .order_by(Item.number)
        .limit(limit)
    )
    return [PoolItem(number, not said) for number, said in rows]


def accept(
    session: Session, project_id: int, student: Student, classes: Mapping[int, str]
) -> tuple[int, tuple[int, int] | None]:
    """Write the ``student``'s class of items (by number) that are still left; call it under the project's lock.

    What this student said already stays as it is; what an earlier one said is superseded. Returns how many were
    written, and the ids of the first and the last.
    """
    connection = connection_of(session)
    now = utcnow()
    newest = _newest(connection, project_id)
    old: dict[int, int] = {}
    rows: list[dict[str, Any]] = []
    for chunk in chunks(sorted(classes)):
        for number, item_id, said, label_id, version in _standing(connection, project_id, chunk):
            if said or version == student.version:
                continue
            if label_id is not None:
                old[item_id] = label_id
            rows.append(_row(project_id, item_id, classes[number], student, now))
    if not rows:
        return 0, None
    replaced = [{"old": label_id, "at": now, "by": None} for label_id in old.values()]
    if replaced:
        connection.execute(_REPLACE, replaced)
    connection.execute(insert(Label), rows)
    written = select(Label.item_id, Label.id).where(Label.project_id == project_id, Label.id > newest)
    ids = {row.item_id: row.id for row in connection.execute(written)}
    if replaced:
        connection.execute(_REPLACE, [{"old": of, "at": now, "by": ids[item]} for item, of in old.items()])
    return len(rows), (min(ids.values()), max(ids.values()))


def _newest(connection: Connection, project_id: int) -> int:
    return connection.execute(select(func.max(Label.id)).where(Label.project_id == project_id)).scalar() or 0


def _standing(connection: Connection, project_id: int, numbers: Sequence[int]) -> list[Any]:
    """Of each item: number, id, whether somebody answered, and a model's standing label with its student's version."""
    theirs = aliased(Label)
    answered = exists().where(theirs.item_id == Item.id, theirs.superseded_at.is_(None), theirs.source != "model")
    query = (
        select(Item.number, Item.id, answered, Label.id, Label.student_version)
        .outerjoin(Label, (Label.item_id == Item.id) & (Label.source == "model") & Label.superseded_at.is_(None))
        .where(Item.project_id == project_id, Item.split == "pool", Item.number.in_(numbers))
        .order_by(Item.number)
    )
    return list(connection.execute(query))


def _row(project_id: int, item_id: int, value: str, student: Student, now: datetime) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "item_id": item_id,
        "user_id": None,
        "kind": "label",
        "value": value,
        "source": "model",
        "round": student.round,
        "student_version": student.version,
        "mechanism": MECHANISM,
        "created_at": now,
    }


def take_back(session: Session, project_id: int, first: int, last: int, limit: int) -> int:
    """Supersede up to ``limit`` labels of models between two ids that stand; returns how many there were."""
    lock_project(session, project_id)
    some = (
        select(Label.id)
        .where(Label.project_id == project_id, Label.id.between(first, last), *_OF_A_MODEL)
        .order_by(Label.id)
        .limit(limit)
    )
    changed = connection_of(session).execute(
        update(Label).where(Label.id.in_(some.scalar_subquery())).values(superseded_at=utcnow())
    )
    assert isinstance(changed, CursorResult)  # noqa: S101
    return changed.rowcount


def drop_model_labels(connection: Connection, item_ids: Collection[int], now: datetime) -> None:
    """The labels of models on these items stand no more: others have spoken, or the items are not what they were."""
    for chunk in chunks(sorted(item_ids)):
        connection.execute(update(Label).where(Label.item_id.in_(chunk), *_OF_A_MODEL).values(superseded_at=now))
