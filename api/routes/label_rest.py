"""Labelling the rest: labels of a student, above a threshold that is certified on held-out labels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Caller, Cursor, DatabaseDep, Limit, page_start, project_caller
from api.schemas.job import JobOut
from api.schemas.label_rest import LabelRestIn, LabelRuns
from winnow import model_labels, registry
from winnow.ids import parse_id
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/label-rest", tags=["students"])
Reader = Annotated[Caller, Depends(project_caller(Permission.LABELS_READ))]
Manager = Annotated[Caller, Depends(project_caller(Permission.STUDENTS_MANAGE))]


@router.post("", status_code=202)
def label_rest(body: LabelRestIn, caller: Manager, database: DatabaseDep) -> JobOut:
    """Accept what the current student is sure enough of; a dry run, the default, only says what that would be."""
    with database.write() as session:
        student = registry.get_student(session, caller.project_id, registry.CURRENT)
        user = caller.identity.user_id
        job = model_labels.request_run(session, caller.project_id, student, user_id=user, **body.model_dump())
        caller.record(session, "labels.rest", job=job.id, **job.payload)
    return JobOut.of(job)


@router.get("")
def list_runs(caller: Reader, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> LabelRuns:
    """The runs, the newest first, each with how many of its labels stand."""
    before = page_start(cursor)
    with database.read() as session:
        runs = model_labels.list_runs(session, caller.project_id, before=before, limit=limit + 1)
    return LabelRuns.of(runs, limit)


@router.delete("/{run}", status_code=202)
def undo_run(run: str, caller: Manager, database: DatabaseDep) -> JobOut:
    """Take back every label of a run that still stands, as a job."""
    with database.write() as session:
        job = model_labels.request_undo(session, caller.project_id, parse_id(run, "run"), caller.identity.user_id)
        caller.record(session, "labels.rest.undo", job=job.id)
    return JobOut.of(job)
