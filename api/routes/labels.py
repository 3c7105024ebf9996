"""Labels: writing, undoing and exporting them."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse, StreamingResponse

from api.deps import Caller, DatabaseDep, Door, DoorRoute, project_caller, project_door
from api.schemas.batch import UndoneOut, held_item, lease_out
from api.schemas.label import LabelsIn, LabelsWritten
from winnow import label_rows, labels
from winnow.errors import NotYet
from winnow.ids import parse_id
from winnow.label_csv import csv_pages
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/labels", tags=["labeling"], route_class=DoorRoute)
LabelersDoor = Annotated[Door, Depends(project_door(Permission.LABEL))]
Reader = Annotated[Caller, Depends(project_caller(Permission.LABELS_READ))]
Format = Literal["jsonl", "csv", "parquet", "label-studio", "hf"]

_PARQUET = "application/vnd.apache.parquet"
_BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post("", status_code=201, response_model=LabelsWritten)
def write_labels(body: LabelsIn, door: LabelersDoor) -> Response:
    """Write up to 1,000 labels. Those that cannot be taken are in `rejected`, the others stand."""
    with door.enter() as (session, caller, project):
        accepted, rejected = labels.write_labels(session, project, caller.user_id, body.labels)
    answer = {
        "accepted": [{"item": str(entry.item_id), "id": str(entry.label_id)} for entry in accepted],
        "rejected": [{"item": entry.item, "reason": entry.reason} for entry in rejected],
    }
    return Response(json.dumps(answer), status_code=201, media_type="application/json")


@router.delete("/{label}", response_model=UndoneOut)
def undo_label(label: str, door: LabelersDoor) -> Response:
    """Take back a label, skip or flag of your own; you hold its item again."""
    with door.enter() as (session, caller, project):
        held = labels.undo_label(session, project, caller.user_id, parse_id(label, "label"))
    return JSONResponse({"item": held_item(held, project.id, project.task), "lease": lease_out(held)})


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One label a row.",
            "content": {"application/x-ndjson": {}, "text/csv": {}, _PARQUET: _BINARY},
        },
        501: {"description": "A format that a later version brings."},
    },
)
def export_labels(
    caller: Reader,
    database: DatabaseDep,
    format: Annotated[Format, Query(description="`label-studio` and `hf` come later.")] = "jsonl",
    all: Annotated[bool, Query(description="The whole history, with `superseded_at`.")] = False,
    raw: Annotated[bool, Query(description="CSV only: leave what spreadsheets would run as it is.")] = False,
) -> StreamingResponse:
    """Stream every standing label, oldest first."""
    if format not in ("jsonl", "csv", "parquet"):
        raise NotYet(f"Labels as {format} come in a later version; use jsonl, csv or parquet.")
    pages = label_rows.stream_labels(database, caller.project_id, everything=all)
    name = f"labels-{caller.project_id}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    columns = (*label_rows.COLUMNS, *(("superseded_at",) if all else ()))
    if format == "parquet":
        from winnow.label_parquet import parquet_pages  # pyarrow: 60 MB that most servers never need

        return StreamingResponse(parquet_pages(pages, columns), media_type=_PARQUET, headers=headers)
    if format == "csv":
        return StreamingResponse(csv_pages(pages, columns, raw=raw), media_type="text/csv", headers=headers)
    return StreamingResponse(label_rows.json_lines(pages), media_type="application/x-ndjson", headers=headers)
