"""Comparing the newest items with the pool: a sample of each, as the current student sees them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from predictor import Predictor
from predictor.collect import make_sketch, novelty
from winnow import drift, pool, registry
from winnow.db.tables import Project, Student
from winnow.jobs import JobContext
from winnow.label_rows import rfc3339
from winnow.projects import unarchived
from worker.base import Runtime
from worker.drift import Seen, compare, in_words
from worker.serving import serving_predictor

#: Items of each side that are looked at, and how few are too few.
MOST, LEAST_NEW, LEAST_POOL = 2_000, 50, 100
IntArray = NDArray[np.int64]


def run(runtime: Runtime, context: JobContext) -> None:
    """Compare, or say why nothing can be compared yet."""
    with runtime.database.read() as session:
        project = unarchived(session, context.project_id)
        since = drift.stretch_since(session, project.id)
        version = registry.current_version(session, project.id)
        student = None if version is None else registry.get_student(session, project.id, version)
    if since is None or student is None:
        why = "all items came at once" if since is None else "there is no student yet"
        result: dict[str, Any] = {"drift": None, "reason": why}
    else:
        result = _compared(runtime, context, project, student, since)
    with runtime.database.write() as session:
        context.finish(session, result)


def _compared(
    runtime: Runtime, context: JobContext, project: Project, student: Student, since: datetime
) -> dict[str, Any]:
    rng = np.random.default_rng([student.version, context.job_id])
    before, new, n_new, against = _samples(runtime, project.id, since, rng)
    if len(new) < LEAST_NEW or len(before) < LEAST_POOL:
        few = (
            f"{len(new)} new items and {len(before)} of the pool are too few ({LEAST_NEW} and {LEAST_POOL} are needed)"
        )
        return {"drift": None, "reason": few}
    predictor = serving_predictor(runtime, student)
    old_seen, new_seen = _seen(runtime, context, project, predictor, before, new)
    found = compare(old_seen, new_seen, predictor.labels, rng)
    facts = {
        "items": n_new,
        "since": rfc3339(since),
        "version": student.version,
        "against": against,
        "compared": [len(old_seen.novelty), len(new_seen.novelty)],
    }
    return {"drift": {**facts, **found, "words": in_words(found, n_new, student.version)}, "reason": None}


def _samples(
    runtime: Runtime, project_id: int, since: datetime, rng: np.random.Generator
) -> tuple[list[int], list[int], int, str]:
    """Numbers of earlier items, of new ones, how many new ones there are, and where the earlier ones are from.

    The holdout is what no student was trained on, and nobody chose; where it is too small it is all that came before.
    """
    with runtime.database.read() as session:
        kind = [("number", np.int64), ("new", bool), ("held", bool)]
        rows = np.fromiter(drift.numbers_with_times(session, project_id, since), kind)
        new, old = rows["number"][rows["new"]], rows[~rows["new"]]
        held = old["number"][old["held"]]
        against = "holdout" if len(held) >= 2 * LEAST_POOL else "pool"
        before = held if against == "holdout" else old["number"]
        drawn = rng.permutation(new)[: 2 * MOST].tolist()
        asked = drift.not_chosen(session, project_id, drawn)[:MOST]
    return rng.permutation(before)[:MOST].tolist(), asked, len(new), against


def _seen(
    runtime: Runtime,
    context: JobContext,
    project: Project,
    predictor: Predictor,
    before: list[int],
    new: list[int],
) -> tuple[Seen, Seen]:
    """Both samples; a part of the earlier items is what novelty is measured from, and is not compared itself."""
    cut = len(before) // 2
    with runtime.database.read() as session:
        old_items = pool.raw_items(session, project.id, before)
        new_items = pool.raw_items(session, project.id, new)
    context.pause_point()
    sketch = make_sketch(old_items[:cut], predictor.task)
    return tuple(  # type: ignore[return-value]
        Seen(predictor.predict_proba(items), novelty(items, sketch)) for items in (old_items[cut:], new_items)
    )
