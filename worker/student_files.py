"""A round's student among the stored files, with what serves it, its report and its lesson; and its row."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from sqlalchemy.orm import Session

from models.artifacts import save_student
from models.export.bundle import write_serving_folder
from winnow import attempt_files, registry
from winnow.db.tables import Student
from winnow.jobs import JobContext
from winnow.scratch import scratch_folder
from worker.base import Runtime
from worker.finetuned_files import put_weights
from worker.lessons import write_lesson
from worker.recipe import Recipe
from worker.round_data import PreviousRound, RoundData, RoundResult
from worker.round_inputs import CARRY, TEACHER, Rows, Snapshot
from worker.student_report import measure_serving, write_report


@dataclass(frozen=True)
class Stored:
    """Where a round's files lie, and what is to be remembered of the student's training."""

    path: str
    training: dict[str, Any]


def store_student(
    runtime: Runtime,
    context: JobContext,
    data: RoundData,
    result: RoundResult,
    rows: Rows,
    encoder: dict[str, str],
    previous: PreviousRound | None,
) -> Stored:
    """Write the student, what serves it, its report and lesson, and what the next round leans on.

    What was found of the student as it is served joins the round's metrics.
    """
    if result.student is None or result.teacher is None or context.project_id is None:
        raise ValueError("a trained round has a teacher and a student")
    context.progress(0.92, "storing the student")
    path = attempt_files.folder(context.project_id, "students", context.job_id, context.attempt)
    with scratch_folder(runtime.settings) as folder:
        save_student(folder / "student", result.student)
        arrays = {name: np.ascontiguousarray(array) for name, array in result.teacher_arrays().items()}
        save_file(arrays, folder / "student" / TEACHER)
        kept = put_weights(folder, result.finetuned, previous)
        carry = {**result.carry, **kept, "class_names": list(result.student.class_names)}
        (folder / "student" / CARRY).write_text(json.dumps(carry), "utf-8")
        write_serving_folder(result.student, folder / "serving")
        model = (folder / "serving" / "model.onnx").read_bytes()
        result.metrics["serving"] = measure_serving(result.student, model, data)
        with runtime.database.read() as session:
            write_report(session, context.project_id, result, context.costs(), folder / "report")
        training = write_lesson(result, rows, encoder, folder)
        attempt_files.put_folder(runtime.storage, folder, path)
    return Stored(path, training)


def add_round_student(
    session: Session, snapshot: Snapshot, recipe: Recipe, result: RoundResult, stored: Stored, *, version: int, n: int
) -> None:
    """Write the row of a round's student; where it is promoted, it is the current one from now on."""
    training = stored.training or _training_of_kept(session, snapshot.project.id, result)
    facts: dict[str, Any] = {**recipe.to_dict(), "round": n, **snapshot.training_counts(), "training": training}
    student = Student(
        project_id=snapshot.project.id,
        version=version,
        round=n,
        family=result.student.family if result.student else "",
        path=stored.path,
        labels=len(snapshot.training),
        metrics=result.metrics,
        recipe=facts,
    )
    registry.add_student(session, student, promoted=result.promoted)


def _training_of_kept(session: Session, project_id: int, result: RoundResult) -> dict[str, Any]:
    """Of a student that a round kept as it was: how it came about when it was trained."""
    current = registry.current_version(session, project_id)
    if current is None or not (result.metrics.get("distillation") or {}).get("kept"):
        return {}
    return dict(registry.get_student(session, project_id, current).recipe.get("training") or {})
