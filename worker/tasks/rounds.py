"""A round of the service: load, run, store the files, publish all of it in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import structlog
from sqlalchemy.orm import Session

from winnow import cold_retrains, drift, features, registry, rounds
from winnow.db.base import utcnow
from winnow.db.session import lock_project
from winnow.db.tables import Project, Round
from winnow.encoder_facts import encoder_facts
from winnow.jobs import JobContext, request_encode
from winnow.projects import class_names
from winnow.queue import QueueRow, replace_queue
from worker.base import Runtime
from worker.cold import is_quick, parted
from worker.encoder_choice import settle_encoder
from worker.llm.panel import make_panel
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_checkpoints import StoredCheckpoints
from worker.round_data import RoundResult
from worker.round_inputs import (
    HALF_LABELED,
    Rows,
    Snapshot,
    load_data,
    load_previous,
    make_recipe,
    take_snapshot,
)
from worker.student_files import Stored, add_round_student, store_student

log = structlog.get_logger(__name__)
_CHOICES = ("ranking", "teacher_view", "view_losses", "view_why", "teacher_c", "teacher_kind", "teacher_why")


def run(runtime: Runtime, context: JobContext) -> None:
    """Train on the labels as they stand, and publish what came of it."""
    started = utcnow()
    snapshot = take_snapshot(runtime, context)
    if snapshot.project.next_number == 0:
        _no_data(runtime, context, snapshot, "The pool is empty: add items, then label some of at least two classes.")
        return
    settle_encoder(runtime, context, snapshot)
    context.progress(0.04, "loading the features")
    data, rows, encoder = load_data(runtime, context, snapshot)
    data = replace(data, panel=make_panel(runtime, context, snapshot.project, rows))
    recipe = make_recipe(snapshot, encoder.name, runtime.settings)
    recipe = replace(recipe, forced=bool(context.payload.get("forced")))
    checkpoints = StoredCheckpoints(runtime, context, data, recipe, encoder.digest, snapshot.mark)
    previous = load_previous(runtime, snapshot, encoder.name)
    result = run_round(data, recipe, previous, np.random.default_rng(recipe.seed), checkpoints)
    context.flops = result.flops
    log.info("round.chose", **{name: result.metrics[name] for name in _CHOICES if name in result.metrics})
    if result.state != "trained":
        _no_data(runtime, context, snapshot, result.reason, _queue(snapshot, result, rows))
        return
    with runtime.database.read() as session:
        result.metrics["encoder"] = facts = encoder_facts(session, snapshot.project)
    if facts and facts["choice"]:
        result.metrics["explanation"] += f" The encoder is {facts['name']}: {facts['choice']['why']}."
    about = {"name": encoder.name, "digest": encoder.digest}
    stored = store_student(runtime, context, data, result, rows, about, previous)
    with runtime.database.write() as session:
        _publish(session, context, snapshot, recipe, result, rows, stored, started)


def _no_data(
    runtime: Runtime, context: JobContext, snapshot: Snapshot, reason: str, cold_start: Sequence[QueueRow] = ()
) -> None:
    """End without a student. Where nothing has been ranked yet, the strategy's cold start is the queue of round 0."""
    with runtime.database.write() as session:
        lock_project(session, snapshot.project.id)
        context.fence(session)
        project = session.get_one(Project, snapshot.project.id, populate_existing=True)
        if project.ranked_round == 0:
            # A cold start ranks without a model: its order means something, the numbers behind it do not.
            replace_queue(session, project, 0, None, [replace(row, score=None) for row in cold_start])
        answer = {"round": None, "state": "no_data", "student": None, "promoted": False, "reason": reason}
        context.finish(session, answer)


def _publish(
    session: Session,
    context: JobContext,
    snapshot: Snapshot,
    recipe: Recipe,
    result: RoundResult,
    rows: Rows,
    stored: Stored,
    started: datetime,
) -> None:
    """Student, round, queue, costs and the job's result: all of them, or none where the attempt was overtaken."""
    lock_project(session, snapshot.project.id)
    context.fence(session)
    project = session.get_one(Project, snapshot.project.id, populate_existing=True)
    n = rounds.next_number(session, project.id)
    version = registry.next_version(session, project.id)
    costs = context.costs()
    add_round_student(session, snapshot, recipe, result, stored, version=version, n=n)
    finished = utcnow()
    rounds.record_round(
        session,
        Round(
            project_id=project.id,
            n=n,
            job_id=context.job_id,
            state=result.state,
            cutoff=snapshot.labels.cutoff,
            labels=len(snapshot.training),
            strategy=recipe.strategy,
            student_version=version,
            promoted=result.promoted,
            reason=result.reason,
            metrics={**result.metrics, "timings": result.timings},
            costs={**costs, **({"llm": asked} if (asked := result.metrics.get("llm", {}).get("usage")) else {})},
            seconds=round((finished - started).total_seconds(), 3),
            started_at=started,
            finished_at=finished,
        ),
    )
    replace_queue(session, project, n, version, _queue(snapshot, result, rows))
    project.ranked_round, project.ranked_cutoff = n, snapshot.labels.cutoff
    answer = {"round": n, "state": result.state, "student": version}
    context.finish(session, {**answer, "promoted": result.promoted, "reason": result.reason})
    rounds.request_round_if_due(session, project)
    if result.promoted:
        drift.request_again(session, project.id)
        _try_cold(session, project, result, n, version)
    if features.covered(session, project.id) < project.next_number:
        request_encode(session, project.id)


def _try_cold(session: Session, project: Project, result: RoundResult, n: int, version: int) -> None:
    """Ask for a cold student beside the warm one, where they may have parted and one can be had in seconds."""
    if result.student is None or not is_quick(result.student.family, project.settings["teacher"]):
        return
    if not cold_retrains.wanted_by(project):
        return
    why = parted(result.metrics, result.carry, cold_retrains.tried_at(session, project.id))
    if why is not None:
        cold_retrains.request(session, project, n, version, why)


def _queue(snapshot: Snapshot, result: RoundResult, rows: Rows) -> list[QueueRow]:
    """The ranked items; before them, those that only need another person's label to be settled."""
    names = class_names(snapshot.project)
    top = float(result.scores.max()) if len(result.scores) else 0.0
    begun = [QueueRow(int(n), top, HALF_LABELED, "strategy", None, None, None) for n in snapshot.half_labeled]
    drawn = [None] * len(result.rows) if result.probabilities is None else result.probabilities.tolist()
    ranked = zip(
        rows.numbers(result.rows).tolist(),
        result.scores.tolist(),
        result.reasons,
        result.labels.tolist(),
        result.confidences.tolist(),
        drawn,
        strict=True,
    )
    return begun + [
        QueueRow(
            item_number=number,
            score=score,
            reason=reason,
            mechanism="strategy",
            probability=probability,
            label=names[label] if label >= 0 else None,
            confidence=confidence if label >= 0 else None,
        )
        for number, score, reason, label, confidence, probability in ranked
    ]
