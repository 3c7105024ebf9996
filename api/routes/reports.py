"""Reports of students: what was measured of each version, as figures and as pictures."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response

from api.deps import Caller, DatabaseDep, StorageDep, project_caller
from api.schemas.report import ReportOut
from winnow import registry
from winnow.db.session import Database
from winnow.errors import NotFound
from winnow.permissions import Permission
from winnow.storage import Storage

router = APIRouter(prefix="/projects/{p}/students/{v}/report", tags=["students"])
Reader = Annotated[Caller, Depends(project_caller(Permission.STUDENTS_READ))]
Version = Annotated[str, Path(description="A version, or `current`.")]
Picture = Annotated[str, Path(description="`confusion`, `calibration` or `pareto`.", max_length=40)]
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {"description": "The storage does not answer."},
    409: {"description": "`current`, too early."},
}


@router.get("", responses={**_UNAVAILABLE})
def report(v: Version, caller: Reader, database: DatabaseDep, storage: StorageDep) -> ReportOut:
    """What was measured of a version on labels that it was not trained on; null is what could not be measured yet."""
    return ReportOut(**json.loads(_file(v, registry.REPORT, caller, database, storage)))


@router.get(
    "/{name}.png",
    response_class=Response,
    responses={200: {"description": "The picture.", "content": {"image/png": {}}}, **_UNAVAILABLE},
)
def picture(v: Version, name: Picture, caller: Reader, database: DatabaseDep, storage: StorageDep) -> Response:
    """A picture of a report: the confusion matrix, the calibration, or all versions beside each other."""
    if name not in registry.PICTURES:
        raise NotFound(f"A report has the pictures {', '.join(registry.PICTURES)}.")
    data = _file(v, f"{name}.png", caller, database, storage)
    return Response(data, media_type="image/png", headers={"Cache-Control": "private, max-age=60"})


def _file(version: str, name: str, caller: Caller, database: Database, storage: Storage) -> bytes:
    with database.read() as session:
        student = registry.get_student(session, caller.project_id, version)
    try:
        return storage.get_bytes(f"{registry.report_path(student)}/{name}")
    except FileNotFoundError:
        what = "no report" if name == registry.REPORT else f"no picture {name}"
        raise NotFound(
            f"Student {student.version} has {what}: too little was measured of it, or it was trained before there were "
            "reports. The next round makes one."
        ) from None
