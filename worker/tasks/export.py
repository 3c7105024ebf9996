"""Exporting: a bundle of a student, checked against the student on items of the pool."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select

from models.artifacts import load_description
from models.export.bundle import export_bundle
from models.export.card import CardFacts
from models.students.protocol import RawItem
from winnow import attempt_files, exports, ledger, pool, registry
from winnow.db.tables import Item, Project, Round, Student
from winnow.errors import NotFound
from winnow.jobs import Interrupted, JobContext
from winnow.label_rows import rfc3339, standing_for_training
from winnow.projects import class_names
from winnow.scratch import scratch_folder
from worker.base import Runtime

CALIBRATION_ITEMS = 500
PARITY_ITEMS = 5_000
MEASURED_ITEMS = 5_000


def run(runtime: Runtime, context: JobContext) -> None:
    """Make the bundle that the job asks for, put it into the storage and say where it can be had."""
    with runtime.database.read() as session:
        project = session.get(Project, context.project_id)
        if project is None or project.archived_at is not None:
            raise NotFound("The project was archived.")
        student = registry.get_student(session, project.id, context.payload["version"])
    context.progress(0.05, "reading items")
    rng = np.random.default_rng([student.version, context.job_id])
    items = _random_items(runtime, project, PARITY_ITEMS, rng)
    context.progress(0.2, "compressing, and comparing with the student")
    path = exports.path_of(project.id, context.job_id, context.attempt)
    trained = attempt_files.local_folder(runtime.storage, registry.training_path(student))
    with trained as folder, scratch_folder(runtime.settings) as scratch:
        report = export_bundle(
            folder,
            context.payload["format"],
            calibration=items[:CALIBRATION_ITEMS],
            parity_items=items,
            card=_facts(runtime, project, student),
            out=scratch / "bundle.zip",
            measured=_measured(runtime, project, list(load_description(folder)["class_names"])),
        )
        if context.should_stop():  # a round need not wait any more: only the upload is left
            raise Interrupted("stopped")
        runtime.storage.put_file(report.path, path)
    result = {
        "download_url": f"/v1/projects/{project.id}/students/{student.version}/exports/{context.job_id}",
        "filename": exports.name_of(project.name, student.version, context.payload["format"]),
        "version": student.version,
        "format": context.payload["format"],
        "bytes": report.bytes,
        "model_bytes": report.model_bytes,
        "parity": dict(report.parity),
        "layers": dict(report.layers),
        "latency": {"p50_ms": report.latency.p50_ms, "items_per_second": report.latency.items_per_second},
    }
    with runtime.database.write() as session:
        context.finish(session, result)


def _random_items(runtime: Runtime, project: Project, count: int, rng: np.random.Generator) -> list[RawItem]:
    """Up to ``count`` items of the pool, drawn uniformly, without test rows, in a random order."""
    with runtime.database.read() as session:
        numbers = np.fromiter(
            session.scalars(select(Item.number).where(Item.project_id == project.id, Item.split != "test")), np.int64
        )
        chosen = rng.permutation(numbers)[:count]
        return list(pool.raw_items(session, project.id, chosen.tolist()))


def _measured(runtime: Runtime, project: Project, names: list[str]) -> tuple[list[RawItem], list[int]] | None:
    """Items that no student is trained on, with their classes: the own test set, else the holdout."""
    with runtime.database.read() as session:
        labels = standing_for_training(session, project.id)
        now = class_names(project)
        for split in ("test", "holdout"):
            places = [i for i, of in enumerate(labels.splits) if of == split and now[labels.classes[i]] in names]
            if places:
                places = places[:MEASURED_ITEMS]
                items = pool.raw_items(session, project.id, [int(labels.numbers[i]) for i in places])
                return list(items), [names.index(now[labels.classes[i]]) for i in places]
    return None


def _facts(runtime: Runtime, project: Project, student: Student) -> CardFacts:
    with runtime.database.read() as session:
        spent = ledger.totals(session, project.id)
        round_ = session.get(Round, (project.id, student.round))
    recipe: dict[str, Any] = dict(student.recipe)
    cut = (student.metrics.get("distillation") or {}).get("cut_share")
    return CardFacts(
        project=project.name,
        version=student.version,
        label_counts=recipe.pop("labels_by_source", {}),
        labels_per_class=recipe.pop("labels_per_class", None),
        accuracy=student.metrics.get("accuracy"),
        energy={name: spent[name] for name in ("watt_hours", "cpu_seconds", "grams_co2e")},
        n_pool=project.n_items - project.n_test,
        teacher=f"multinomial logistic regression on features of the encoder {recipe.get('encoder')}",
        metrics={name: value for name, value in student.metrics.items() if name != "accuracy"},
        recipe=recipe,
        seed=recipe.get("seed"),
        limits=() if cut is None else (f"Long texts are cut: {cut:.1%} of those that it learned from were.",),
        created_at=rfc3339(student.created_at if round_ is None else round_.finished_at),
    )
