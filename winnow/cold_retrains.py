"""Cold students that are tried in the background, beside the warm one of the newest round.

A job tries one round's: where a newer round has ended, or another student is current, it has nothing to say any more.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from winnow import registry, rounds
from winnow.db.session import lock_project
from winnow.db.tables import Job, Project, Round
from winnow.jobs import create_job, get_job

KIND = "cold-retrain"
SETTING = "cold_retrain"
_LOOKED_AT = 50


def wanted_by(project: Project) -> bool:
    """Whether the project's settings leave it on."""
    return bool(project.settings.get(SETTING, True)) and project.archived_at is None


def tried_at(session: Session, project_id: int) -> int:
    """With how many labels one was last tried; 0 for never."""
    results = select(Job.result).where(Job.project_id == project_id, Job.kind == KIND, Job.state == "succeeded")
    newest = session.scalars(results.order_by(Job.id.desc()).limit(_LOOKED_AT))
    return next((int(result["labels"]) for result in newest if result and result.get("labels")), 0)


def request(session: Session, project: Project, round_n: int, version: int, why: str) -> Job:
    """Ask for one after a round with the student ``version``; a job that still waits is for this round from now on."""
    lock_project(session, project.id)
    payload = {"round": round_n, "version": version, "why": why}
    waiting = update(Job).where(Job.project_id == project.id, Job.kind == KIND, Job.state == "queued")
    taken = session.scalars(
        waiting.values(payload=payload).returning(Job.id), execution_options={"synchronize_session": False}
    ).first()
    return create_job(session, KIND, project.id, payload) if taken is None else get_job(session, taken)


def moot(session: Session, project: Project, payload: dict[str, Any]) -> str | None:
    """Why there is nothing to try any more; None while there is."""
    if not wanted_by(project):
        return "the settings say that no student is trained in the background"
    newest = rounds.last_round(session, project.id)
    if newest is None or newest.n != payload["round"]:
        return "a newer round has ended"
    if registry.current_version(session, project.id) != payload["version"]:
        return "another student is current"
    return None


def note(session: Session, project_id: int, round_n: int, told: dict[str, Any], sentence: str) -> Round:
    """Write what came of it into the round, where its report is read."""
    round_ = rounds.get_round(session, project_id, round_n)
    said = str(round_.metrics.get("explanation") or "")
    round_.metrics = {**round_.metrics, KIND.replace("-", "_"): told, "explanation": f"{said} {sentence}".strip()}
    session.flush()
    return round_
