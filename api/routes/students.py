"""Students: versions, which one is current, and bundles of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.responses import FileResponse
from sqlalchemy.orm import Session

from api.deps import Caller, Cursor, DatabaseDep, HeldDep, Limit, StorageDep, page_start, project_caller
from api.schemas.job import JobOut
from api.schemas.student import LATER_FORMATS, ExportIn, StudentList, StudentOut
from winnow import exports, jobs, registry
from winnow.db.tables import Job, Project
from winnow.errors import Conflict, NotFound, NotYet
from winnow.ids import parse_id
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/students", tags=["students"])
Reader = Annotated[Caller, Depends(project_caller(Permission.STUDENTS_READ))]
Manager = Annotated[Caller, Depends(project_caller(Permission.STUDENTS_MANAGE))]
Exporter = Annotated[Caller, Depends(project_caller(Permission.EXPORT))]
Version = Annotated[str, Path(description="A version, or `current`.")]


@router.get("")
def list_students(caller: Reader, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> StudentList:
    """All versions, the newest first."""
    before = page_start(cursor)
    with database.read() as session:
        current = registry.current_version(session, caller.project_id)
        found = registry.list_students(session, caller.project_id, before=before, limit=limit + 1)
    page = [StudentOut.of(student, current) for student in found[:limit]]
    return StudentList(data=page, next=str(page[-1].version) if len(found) > limit else None)


@router.get("/{v}", responses={409: {"description": "`current`, before there is a student."}})
def get_student(v: Version, caller: Reader, database: DatabaseDep) -> StudentOut:
    """One version, or the current one (409 before there is one)."""
    with database.read() as session:
        student = registry.get_student(session, caller.project_id, v)
        return StudentOut.of(student, registry.current_version(session, caller.project_id))


@router.post("/{v}/promote")
def promote(v: Version, caller: Manager, database: DatabaseDep) -> StudentOut:
    """Make a version the current one: what predictions and exports of `current` use. Also the way back."""
    with database.write() as session:
        before = registry.current_version(session, caller.project_id)
        student = registry.promote(session, caller.project_id, v)
        caller.record(session, "student.promote", version=student.version, before=before)
    return StudentOut.of(student, student.version)


@router.post("/{v}/exports", status_code=202, responses={501: {"description": "A format that a later version brings."}})
def export(v: Version, body: ExportIn, caller: Exporter, database: DatabaseDep) -> JobOut:
    """Make a bundle of a version. The job's result has its `download_url`."""
    with database.write() as session:
        student = registry.get_student(session, caller.project_id, v)
        if body.format in LATER_FORMATS:
            raise NotYet(f"Bundles of the format {body.format} are not made yet; use onnx-int8, onnx or cascade.")
        payload = {"version": student.version, "format": body.format, **body.aim()}
        job = jobs.create_job(session, "export", caller.project_id, payload, caller.identity.user_id)
        caller.record(session, "student.export", job=job.id, **payload)
    return JobOut.of(job)


@router.get(
    "/{v}/exports/{j}",
    response_class=FileResponse,
    responses={
        200: {"description": "The bundle.", "content": {"application/zip": {}}},
        503: {"description": "The storage does not answer."},
    },
)
def download(
    v: Version, j: str, caller: Exporter, database: DatabaseDep, storage: StorageDep, held: HeldDep
) -> FileResponse:
    """The bundle that an export job made, as a ZIP file."""
    with database.read() as session:
        job = _export_of(session, caller.project_id, j, v)
        name = session.get_one(Project, caller.project_id).name
    try:
        file = held.enter_context(storage.local(exports.bundle_path(job)))
    except FileNotFoundError:
        raise NotFound("This bundle is not kept any more; export the student again.") from None
    return FileResponse(file, media_type="application/zip", filename=exports.bundle_name(name, job))


def _export_of(session: Session, project_id: int, j: str, version: str) -> Job:
    job = jobs.get_job(session, parse_id(j, "export"))
    if job.project_id != project_id or job.kind != "export" or str(job.payload.get("version")) != version:
        raise NotFound("There is no such export of this student.")
    if job.state != "succeeded":
        raise Conflict(f"This export is {job.state}; its bundle can be downloaded once the job has succeeded.")
    return job
