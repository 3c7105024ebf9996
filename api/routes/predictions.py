"""Predictions by a student, from the same source as the bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.deps import Caller, DatabaseDep, SettingsDep, StorageDep, project_caller
from api.pool_predictions import prediction_pages
from api.predictors import predictors
from api.schemas.prediction import PredictedOut, PredictIn, PredictOut
from winnow import registry
from winnow.db.tables import Project
from winnow.errors import FieldError, Invalid, Unavailable
from winnow.ids import parse_id
from winnow.intake import RowError, RowReader
from winnow.label_csv import csv_pages
from winnow.label_rows import json_lines
from winnow.permissions import Permission
from winnow.pool_predictions import COLUMNS, number_of, pool_size

if TYPE_CHECKING:
    from predictor.items import Item

router = APIRouter(prefix="/projects/{p}/predictions", tags=["predictions"])
Predicting = Annotated[Caller, Depends(project_caller(Permission.PREDICT))]
#: Not annotators: what the model says of the holdout must not reach who labels it.
Reader = Annotated[Caller, Depends(project_caller(Permission.LABELS_READ))]


@router.post("", responses={503: {"description": "The student's files cannot be had."}})
def predict(
    body: PredictIn, caller: Predicting, database: DatabaseDep, storage: StorageDep, settings: SettingsDep
) -> PredictOut:
    """What the current student, or the given version, says of each item (409 before there is a student)."""
    with database.read() as session:
        project = session.get_one(Project, caller.project_id)
        student = registry.get_student(session, project.id, body.version or registry.CURRENT)
    items = _items(body.items, RowReader(project, settings, "ignore"))
    predictor = predictors.get(storage, registry.serving_path(student))
    from predictor import (  # loaded by now; a process that never predicts does without onnxruntime
        BundleError,
        ItemError,
    )

    try:
        found = predictor.predict(items)
    except ItemError as error:
        raise _invalid([(error.index, error.reason)]) from None
    except BundleError as error:
        raise Unavailable(f"Student {student.version} cannot be run: {error} Ask for another version.") from error
    return PredictOut(version=student.version, predictions=[PredictedOut(**entry) for entry in found])


@router.get(
    "",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One item a row. `Winnow-Items` says how many come, `Winnow-Version` which student speaks.",
            "content": {"application/x-ndjson": {}, "text/csv": {}},
        },
        409: {"description": "Before there is a student."},
        503: {"description": "The student's files cannot be had."},
    },
)
def predict_pool(
    caller: Reader,
    database: DatabaseDep,
    storage: StorageDep,
    format: Annotated[Literal["jsonl", "csv"], Query()] = "jsonl",
    version: Annotated[int | None, Query(ge=1, description="A student's version; without it the current one.")] = None,
    after: Annotated[str | None, Query(max_length=40, description="Go on behind this item.")] = None,
    raw: Annotated[bool, Query(description="CSV only: leave what spreadsheets would run as it is.")] = False,
) -> StreamingResponse:
    """Stream the whole pool: what people labelled, and what the student says of all else."""
    with database.read() as session:
        project = session.get_one(Project, caller.project_id)
        student = registry.get_student(session, project.id, version or registry.CURRENT)
        total = pool_size(session, project.id)
        behind = -1 if after is None else number_of(session, project.id, parse_id(after, "item"))
    predictor = predictors.get(storage, registry.serving_path(student))
    pages = prediction_pages(database, project, predictor, student.version, behind)
    headers = {
        "Content-Disposition": f'attachment; filename="predictions-{project.id}-v{student.version}.{format}"',
        "Winnow-Items": str(total),
        "Winnow-Version": str(student.version),
    }
    if format == "csv":
        return StreamingResponse(csv_pages(pages, COLUMNS, raw=raw), media_type="text/csv", headers=headers)
    return StreamingResponse(json_lines(pages), media_type="application/x-ndjson", headers=headers)


def _items(rows: list[dict[str, Any]], reader: RowReader) -> list[Item]:
    items: list[Item] = []
    faults: list[tuple[int, str]] = []
    for index, row in enumerate(rows):
        try:
            draft = reader.draft({name: row.get(name) for name in ("text", "image", "features")})
        except RowError as error:
            faults.append((index, error.reason))
            continue
        if draft.text is not None:
            items.append(draft.text)
        elif draft.dim is not None:
            items.append(_vector(draft.content or b""))
        else:
            items.append(draft.content or b"")
    if faults:
        raise _invalid(faults)
    return items


def _vector(data: bytes) -> Item:
    import numpy as np

    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def _invalid(faults: list[tuple[int, str]]) -> Invalid:
    errors = [FieldError(("body", "items", index), reason) for index, reason in faults[:100]]
    return Invalid(f"items[{faults[0][0]}]: {faults[0][1]}", errors=errors)
