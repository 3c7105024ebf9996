"""Batches: what to label next."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.deps import Door, DoorRoute, project_door
from api.schemas.batch import BatchIn, BatchOut, held_item
from winnow.permissions import Permission
from winnow.queue import claim_batch

router = APIRouter(prefix="/projects/{p}/batches", tags=["labeling"], route_class=DoorRoute)
LabelersDoor = Annotated[Door, Depends(project_door(Permission.LABEL))]


@router.post("", status_code=200, response_model=BatchOut)
def create_batch(body: BatchIn, door: LabelersDoor) -> Response:
    """Hold up to `size` items, the most useful first, until their leases end."""
    with door.enter() as (session, caller, project):
        batch = claim_batch(session, project, caller.user_id, body.size, body.lease_seconds)
    answer = {
        "items": [held_item(held, project.id, project.task) for held in batch.items],
        "ranked_by": {"round": batch.round, "labels_behind": batch.labels_behind},
        "remaining": batch.remaining,
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")
