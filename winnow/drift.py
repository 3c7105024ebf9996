"""Drift: which items are the newest stretch, when to compare it with the pool, and what the last comparison found.

A stretch is what came with the newest import, or after a pause of an hour in what came otherwise. The comparison is a
job (it needs the student), and its result is kept as the job's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.chunks import chunks
from winnow.db.session import lock_project
from winnow.db.tables import Item, Job
from winnow.jobs import create_job

KIND = "drift"
PAUSE = timedelta(hours=1)
#: Inputs that were collected for these reasons differ from the pool because they were chosen to.
CHOSEN = ("uncertain", "novel")


def stretch_since(session: Session, project_id: int) -> datetime | None:
    """When the newest stretch began; None where all items are one stretch."""
    jobs = select(Job.kind, Job.created_at, Job.started_at, Job.finished_at, Job.result).where(
        Job.project_id == project_id, Job.kind.in_(("import", "encode")), Job.state != "canceled"
    )
    newest = session.execute(jobs.order_by(Job.id.desc()).limit(50)).all()
    imports = [job for job in newest if job.kind == "import" and (job.result or {}).get("created") != 0]
    began = [job.started_at for job in imports if job.started_at is not None][:1]
    encodes = [job for job in newest if job.kind == "encode"]
    for later, earlier in pairwise(encodes):
        if earlier.finished_at is not None and later.created_at - earlier.finished_at >= PAUSE:
            # The items came just before the job that encodes them was written: in the same transaction.
            began.append(later.created_at - timedelta(minutes=1))
            break
    first = session.scalar(select(Item.created_at).where(Item.project_id == project_id).order_by(Item.number).limit(1))
    since = max(began, default=None)
    return None if since is None or first is None or first >= since else since


def request_drift(session: Session, project_id: int) -> Job | None:
    """Ask for a comparison where there is a stretch to compare; one that waits is that one."""
    if stretch_since(session, project_id) is None:
        return None
    lock_project(session, project_id)
    waiting = session.scalar(
        select(Job).where(Job.project_id == project_id, Job.kind == KIND, Job.state == "queued").limit(1)
    )
    return waiting or create_job(session, KIND, project_id)


def request_again(session: Session, project_id: int) -> Job | None:
    """Ask for it once more after a student was promoted, where it was ever asked for."""
    asked = session.scalar(select(Job.id).where(Job.project_id == project_id, Job.kind == KIND).limit(1))
    return None if asked is None else request_drift(session, project_id)


def numbers_with_times(session: Session, project_id: int, since: datetime) -> Iterator[tuple[int, bool, bool]]:
    """Of each item, the own test set left out: its number, whether it is of the stretch, and whether it is held out."""
    query = select(Item.number, Item.created_at >= since, Item.split == "holdout").where(
        Item.project_id == project_id, Item.split != "test"
    )
    for row in session.execute(query.execution_options(yield_per=10_000)):
        yield row[0], bool(row[1]), bool(row[2])


def not_chosen(session: Session, project_id: int, numbers: Sequence[int]) -> list[int]:
    """Those of the items that were not collected for being uncertain or novel, in their order."""
    chosen: set[int] = set()
    for chunk in chunks(list(numbers)):
        query = select(Item.number, Item.meta).where(Item.project_id == project_id, Item.number.in_(chunk))
        chosen.update(number for number, meta in session.execute(query) if (meta or {}).get("collected") in CHOSEN)
    return [number for number in numbers if number not in chosen]


def newest_drift(session: Session, project_id: int) -> dict[str, Any] | None:
    """What the last comparison found; None where nothing was measurable."""
    newest = select(func.max(Job.id)).where(Job.project_id == project_id, Job.kind == KIND, Job.state == "succeeded")
    result = session.scalar(select(Job.result).where(Job.id == newest.scalar_subquery()))
    return (result or {}).get("drift")
