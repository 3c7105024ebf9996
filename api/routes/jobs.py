"""Jobs: how far work is, and giving it up."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import DatabaseDep, Me, SignedIn
from api.schemas.job import JobOut
from winnow import jobs, projects
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.errors import Forbidden, NotFound
from winnow.ids import parse_id
from winnow.permissions import Permission, role_allows

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/{j}")
def get_job(j: str, me: Me, database: DatabaseDep) -> JobOut:
    """A job of a project that you are a member of."""
    return JobOut.of(_visible(j, me, database)[0])


@router.delete("/{j}")
def cancel_job(j: str, me: Me, database: DatabaseDep) -> JobOut:
    """Cancel it. For whoever asked for it, and for those who manage the project; 409 once it has ended."""
    job, role = _visible(j, me, database)
    if job.requested_by != me.identity.user_id and not role_allows(role, Permission.PROJECT_MANAGE):
        raise Forbidden("Only whoever asked for a job, and the project's managers, can cancel it.")
    with database.write() as session:
        job = jobs.cancel(session, job.id)
        me.record(session, "job.cancel", project_id=job.project_id, job=job.id, kind=job.kind)
    return JobOut.of(job)


def _visible(j: str, me: SignedIn, database: Database) -> tuple[Job, str]:
    """The job and the caller's role in its project; NotFound for what they may not know of."""
    with database.read() as session:
        job = jobs.get_job(session, parse_id(j, "job"))
        if job.project_id is None:
            if job.requested_by != me.identity.user_id:
                raise NotFound("There is no job with this id.")
            return job, "viewer"
        try:
            role = projects.member_role(session, me.identity, job.project_id, Permission.JOBS_READ)
        except NotFound:
            raise NotFound("There is no job with this id.") from None
    return job, role
