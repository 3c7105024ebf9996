"""Rounds: when one is due, and what became of each."""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from winnow.db.session import lock_project
from winnow.db.tables import Item, Job, Label, Project, Round
from winnow.errors import NotFound
from winnow.ids import LARGEST_NUMBER
from winnow.jobs import create_job

SMALLEST_BATCH = 10
SHARE_OF_LABELS = 0.05


def batch_size(project: Project) -> int:
    """How many labels make a round due: the project's setting; ``auto`` is 5 % of the labels so far, at least 10."""
    wanted = project.settings.get("batch_size", "auto")
    if wanted == "auto":
        return max(SMALLEST_BATCH, math.ceil(SHARE_OF_LABELS * project.n_labels))
    return int(wanted)


def labels_until_due(project: Project) -> int:
    """How many more labels (holdout included) make the next round due; 0 when it is."""
    return max(0, batch_size(project) - (project.n_labels - project.round_labels))


def request_round_if_due(session: Session, project: Project) -> Job | None:
    """Ask for a round when enough labels have come since the last one's cut-off; cheap when they have not.

    The caller holds the project's lock.
    """
    if labels_until_due(project) > 0 or project.archived_at is not None:
        return None
    return _queued(session, project.id) or create_job(session, "round", project.id)


def request_round_if_labels_wait(session: Session, project: Project) -> Job | None:
    """Ask for a round when enough labels that no ranking knows have come, imported ones included.

    For the end of encoding: only then can labels that came with a file be learned from. The caller holds the project's
    lock.
    """
    enough = batch_size(project)
    unknown = (
        select(Label.id)
        .join(Item, Item.id == Label.item_id)
        .where(
            Item.split != "test",
            Label.project_id == project.id,
            Label.id > project.ranked_cutoff,
            Label.kind == "label",
            Label.source != "model",
            Label.superseded_at.is_(None),
        )
        .limit(enough)
    )
    if project.archived_at is not None or len(session.scalars(unknown).all()) < enough:
        return None
    return _queued(session, project.id) or create_job(session, "round", project.id)


def request_round(session: Session, project: Project, *, forced: bool, user_id: int | None = None) -> Job:
    """Ask for a round now; one that already waits is that round. ``forced``: it trains whatever a budget says."""
    lock_project(session, project.id)
    waiting = _queued(session, project.id)
    if waiting is None:
        return create_job(session, "round", project.id, {"forced": forced}, user_id)
    if forced and not waiting.payload.get("forced"):
        waiting.payload = {**waiting.payload, "forced": True}
        waiting.requested_by = waiting.requested_by or user_id
        session.flush()
    return waiting


def _queued(session: Session, project_id: int) -> Job | None:
    return session.scalar(
        select(Job).where(Job.project_id == project_id, Job.kind == "round", Job.state == "queued").limit(1)
    )


def note_cutoff(session: Session, project_id: int, n_labels: int) -> None:
    """A round has looked at the labels: those that come from now on count towards the next one."""
    session.execute(
        update(Project)
        .where(Project.id == project_id)
        .values(round_labels=n_labels)
        .execution_options(synchronize_session=False)
    )


def next_number(session: Session, project_id: int) -> int:
    """The number of the next round of a project; they count from 1."""
    return (session.scalar(select(func.max(Round.n)).where(Round.project_id == project_id)) or 0) + 1


def record_round(session: Session, round_: Round) -> Round:
    """Write a round that has ended."""
    session.add(round_)
    session.flush()
    return round_


def list_rounds(session: Session, project_id: int, *, before: int | None = None, limit: int = 100) -> list[Round]:
    """Rounds, the newest first; ``before`` gives those with smaller numbers."""
    wanted = select(Round).where(Round.project_id == project_id).order_by(Round.n.desc()).limit(limit)
    return list(session.scalars(wanted if before is None else wanted.where(Round.n < min(before, LARGEST_NUMBER))))


def get_round(session: Session, project_id: int, n: int) -> Round:
    """The round number ``n``; raises :class:`~winnow.errors.NotFound`."""
    found = session.get(Round, (project_id, n))
    if found is None:
        raise NotFound(f"There is no round {n} in this project.")
    return found


def last_round(session: Session, project_id: int) -> Round | None:
    """The newest round, if there is one."""
    return next(iter(list_rounds(session, project_id, limit=1)), None)


def to_dict(round_: Round) -> dict[str, Any]:
    """The round as the contract shows it."""
    return {
        "n": round_.n,
        "state": round_.state,
        "job": None if round_.job_id is None else str(round_.job_id),
        "labels": round_.labels,
        "strategy": round_.strategy,
        "student": round_.student_version,
        "promoted": round_.promoted,
        "reason": round_.reason,
        "metrics": round_.metrics,
        "costs": round_.costs,
        "seconds": round_.seconds,
        "started_at": round_.started_at,
        "finished_at": round_.finished_at,
    }
