"""Batches: what to label next."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.deps import Caller, DatabaseDep, project_caller
from api.schemas.batch import BatchIn, BatchOut, held_item
from winnow.counters import counted_project
from winnow.permissions import Permission
from winnow.queue import claim_batch

router = APIRouter(prefix="/projects/{p}/batches", tags=["labeling"])
Labeler = Annotated[Caller, Depends(project_caller(Permission.LABEL))]


@router.post("", status_code=200, response_model=BatchOut)
def create_batch(body: BatchIn, caller: Labeler, database: DatabaseDep) -> Response:
    """Hold up to `size` items, the most useful first, until their leases end."""
    with database.write() as session:
        project = counted_project(session, caller.project_id)
        batch = claim_batch(session, project, caller.identity.user_id, body.size, body.lease_seconds)
        task = project.task
    answer = {
        "items": [held_item(held, caller.project_id, task) for held in batch.items],
        "ranked_by": {"round": batch.round, "labels_behind": batch.labels_behind},
        "remaining": batch.remaining,
    }
    return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")
