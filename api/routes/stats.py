"""Stats: how a project stands."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from api.deps import Caller, DatabaseDep, project_caller
from api.schemas.stats import StatsOut
from winnow.db.tables import Project
from winnow.permissions import Permission
from winnow.stats import project_stats

router = APIRouter(prefix="/projects/{p}/stats", tags=["stats"])
Reader = Annotated[Caller, Depends(project_caller(Permission.STATS_READ))]


@router.get("", response_model=StatsOut)
def get_stats(caller: Reader, database: DatabaseDep) -> Response:
    """How far the work is, what it cost and how good the student is. What is not measured is null."""
    with database.read() as session:
        answer: dict[str, Any] = project_stats(session, session.get_one(Project, caller.project_id))
    return JSONResponse(answer)
