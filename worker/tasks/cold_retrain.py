"""A cold student beside the newest round's warm one: trained when nothing else is to do, published where better."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from safetensors.numpy import load_file
from sqlalchemy.orm import Session

from models.artifacts import load_arrays, load_description
from winnow import attempt_files, cold_retrains, drift, registry, rounds
from winnow.db.session import lock_project
from winnow.db.tables import Project, Round, Student
from winnow.jobs import JobContext
from winnow.projects import unarchived
from worker.base import Runtime
from worker.cold import Retrained, retrain
from worker.project_encoder import encoder_that_is_done
from worker.recipe import Recipe
from worker.round_data import Arrays, PreviousRound
from worker.round_inputs import CARRY, TEACHER, Snapshot, load_data, make_recipe, snapshot_of
from worker.student_files import Stored, add_round_student, store_student

_ENCODING = "the pool is being encoded"
_OTHER_ENCODER = "the encoder was changed, or has learned anew: the round's teacher cannot read what it gives"


@dataclass(frozen=True)
class _Begun:
    """What the job found when it began: the project as its round knew it, and the warm student."""

    snapshot: Snapshot
    round: Round
    warm: Student


def run(runtime: Runtime, context: JobContext) -> None:
    """Train and compare, or say why there is nothing to try any more."""
    begun = _begin(runtime, context)
    if isinstance(begun, str):
        _end(runtime, context, begun)
        return
    project = begun.snapshot.project
    if encoder_that_is_done(runtime, project) is None:
        _end(runtime, context, _ENCODING)
        return
    context.progress(0.05, "loading the features")
    data, rows, encoder = load_data(runtime, context, begun.snapshot)
    about = {"name": encoder.name, "digest": encoder.digest}
    if (begun.warm.recipe.get("training") or {}).get("encoder") != about:
        _end(runtime, context, _OTHER_ENCODER)
        return
    recipe = make_recipe(begun.snapshot, encoder.name, runtime.settings)
    current, teacher = _load(runtime, begun.warm)
    context.progress(0.2, f"training a student afresh on {len(data.y)} labels")
    found = retrain(data, recipe, current, teacher, begun.round.metrics, context.pause_point)
    context.flops = found.result.flops
    stored = None
    if found.verdict.better:
        context.progress(0.8, "storing the student")
        stored = store_student(runtime, context, data, found.result, rows, about, None)
    with runtime.database.write() as session:
        _publish(session, context, begun, recipe, found, stored)


def _begin(runtime: Runtime, context: JobContext) -> _Begun | str:
    with runtime.database.read() as session:
        project = unarchived(session, context.project_id)
        why = cold_retrains.moot(session, project, context.payload)
        if why is not None:
            return why
        round_ = rounds.get_round(session, project.id, context.payload["round"])
        warm = registry.get_student(session, project.id, context.payload["version"])
        return _Begun(snapshot_of(session, project, round_), round_, warm)


def _load(runtime: Runtime, warm: Student) -> tuple[PreviousRound, Arrays]:
    """The warm student, what its round left to the next one, and that round's teacher."""
    with attempt_files.local_folder(runtime.storage, registry.training_path(warm)) as folder:
        carry: dict[str, Any] = json.loads((folder / CARRY).read_text("utf-8"))
        teacher = load_file(folder / TEACHER)
        names, student = tuple(load_description(folder)["class_names"]), load_arrays(folder)
    current = PreviousRound(
        student=student,
        student_family=warm.family,
        class_names=names,
        family_labels=int(carry.get("family_labels", 0)),
    )
    return current, teacher


def _publish(
    session: Session, context: JobContext, begun: _Begun, recipe: Recipe, found: Retrained, stored: Stored | None
) -> None:
    """The student where it is better, and what came of it, unless a round or a person was quicker."""
    project_id, round_ = begun.snapshot.project.id, begun.round
    lock_project(session, project_id)
    context.fence(session)
    project = session.get_one(Project, project_id, populate_existing=True)
    why = cold_retrains.moot(session, project, context.payload)
    if why is not None:
        context.finish(session, _answer(round_.n, "moot", None, why))
        return
    version = None
    if stored is not None:
        version = registry.next_version(session, project_id)
        add_round_student(session, begun.snapshot, recipe, found.result, stored, version=version, n=round_.n)
    state = "better" if stored is not None else "not better"
    told = {
        "state": state,
        "student": version,
        "beside": begun.warm.version,
        "asked_because": context.payload["why"],
        "why": found.verdict.why,
        "gains": found.verdict.gains,
        "costs": context.costs(),
    }
    cold_retrains.note(session, project_id, round_.n, told, _sentence(told))
    answer = {**_answer(round_.n, state, version, found.verdict.why), "labels": int(found.result.metrics["labels"])}
    context.finish(session, answer)
    if version is not None:
        drift.request_again(session, project_id)


def _sentence(told: dict[str, Any]) -> str:
    became = "stays" if told["student"] is None else f"makes way for student v{told['student']}"
    return (
        f"A student was trained afresh in the background, since of student v{told['beside']} was found: "
        f"{told['asked_because']}. It is {told['why']}: v{told['beside']} {became}."
    )


def _answer(n: int, state: str, student: int | None, why: str) -> dict[str, Any]:
    return {"round": n, "state": state, "student": student, "promoted": student is not None, "reason": why}


def _end(runtime: Runtime, context: JobContext, why: str) -> None:
    with runtime.database.write() as session:
        context.fence(session)
        context.finish(session, _answer(int(context.payload["round"]), "moot", None, why))
