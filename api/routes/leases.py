"""Leases: what the caller holds."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from api.deps import (
    Caller,
    Cursor,
    DatabaseDep,
    Door,
    DoorRoute,
    Limit,
    page_start,
    project_caller,
    project_door,
)
from api.schemas.batch import HeldList, LeaseOut, held_item
from winnow import leases
from winnow.db.tables import Project
from winnow.ids import parse_id
from winnow.label_rows import rfc3339
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/leases", tags=["labeling"], route_class=DoorRoute)
Labeler = Annotated[Caller, Depends(project_caller(Permission.LABEL))]
LabelersDoor = Annotated[Door, Depends(project_door(Permission.LABEL))]


@router.get("", response_model=HeldList)
def list_leases(caller: Labeler, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 1000) -> Response:
    """Your live leases with their items: a reloaded page picks up here."""
    after = page_start(cursor)
    with database.read() as session:
        project = session.get_one(Project, caller.project_id)
        held = leases.list_leases(session, project, caller.identity.user_id, after=after, limit=limit + 1)
    data = [
        {
            "id": str(entry.lease_id),
            "expires_at": rfc3339(entry.expires_at),
            "item": held_item(entry, caller.project_id, project.task),
        }
        for entry in held[:limit]
    ]
    return JSONResponse({"data": data, "next": data[-1]["id"] if len(held) > limit else None})


@router.post("/{lease}/renew")
def renew_lease(lease: str, door: LabelersDoor) -> LeaseOut:
    """Hold the item for as long again, from now."""
    with door.enter() as (session, caller, project):
        renewed = leases.renew_lease(session, project, caller.user_id, parse_id(lease, "lease"))
        return LeaseOut(id=str(renewed.id), expires_at=rfc3339(renewed.expires_at))


@router.delete("/{lease}", status_code=204)
def release_lease(lease: str, door: LabelersDoor) -> Response:
    """Give the item back, so that it can be served at once."""
    with door.enter() as (session, caller, project):
        leases.release_lease(session, project, caller.user_id, parse_id(lease, "lease"))
    return Response(status_code=204)
