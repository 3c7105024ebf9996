"""Predictions by a student, from the same source as the bundles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends

from api.deps import Caller, DatabaseDep, SettingsDep, StorageDep, project_caller
from api.predictors import predictors
from api.schemas.prediction import PredictedOut, PredictIn, PredictOut
from winnow import registry
from winnow.db.tables import Project
from winnow.errors import FieldError, Invalid, NotYet
from winnow.intake import RowError, RowReader
from winnow.permissions import Permission

if TYPE_CHECKING:
    from predictor.items import Item

router = APIRouter(prefix="/projects/{p}/predictions", tags=["predictions"])
Predicting = Annotated[Caller, Depends(project_caller(Permission.PREDICT))]


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
    from predictor import ItemError  # loaded by now; a process that never predicts does without onnxruntime

    try:
        found = predictor.predict(items)
    except ItemError as error:
        raise _invalid([(error.index, error.reason)]) from None
    return PredictOut(version=student.version, predictions=[PredictedOut(**entry) for entry in found])


@router.get("", responses={501: {"description": "A later version brings it."}})
def predict_pool(caller: Predicting) -> None:
    """The whole pool with what the student says of each item: comes with a later version (501)."""
    raise NotYet("Predictions of the whole pool come with a later version; POST items to this address meanwhile.")


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
