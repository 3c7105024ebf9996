"""Exporting: a bundle of a student, checked against the student on items of the pool."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from models.artifacts import load_description
from models.export.bundle import BundleReport, export_bundle
from models.export.card import CardFacts
from models.students.protocol import RawItem
from winnow import attempt_files, exports, ledger, pool, registry
from winnow.db.tables import Item, Project, Round, Student
from winnow.jobs import Interrupted, JobContext
from winnow.label_rows import rfc3339, standing_for_training
from winnow.languages import language_name
from winnow.projects import class_names, unarchived
from winnow.scratch import scratch_folder
from worker.base import Runtime
from worker.choices import teacher_in_words
from worker.lessons import write_training_data

TRAINING_DATA = "training-data"
CALIBRATION_ITEMS = 500
PARITY_ITEMS = 5_000
MEASURED_ITEMS = 5_000
CASCADE = "cascade"


def run(runtime: Runtime, context: JobContext) -> None:
    """Make the bundle that the job asks for, put it into the storage and say where it can be had."""
    with runtime.database.read() as session:
        project = unarchived(session, context.project_id)
        student = registry.get_student(session, project.id, context.payload["version"])
    if context.payload["format"] == TRAINING_DATA:
        _export_training_data(runtime, context, project, student)
        return
    context.progress(0.05, "reading items")
    rng = np.random.default_rng([student.version, context.job_id])
    items = _random_items(runtime, project, PARITY_ITEMS, rng)
    context.progress(0.2, "compressing, and comparing with the student")
    path = exports.path_of(project.id, context.job_id, context.attempt)
    trained = attempt_files.local_folder(runtime.storage, registry.training_path(student))
    with trained as folder, scratch_folder(runtime.settings) as scratch:
        names = list(load_description(folder)["class_names"])
        arguments: dict[str, Any] = {
            "calibration": items[:CALIBRATION_ITEMS],
            "parity_items": items,
            "card": _facts(runtime, project, student),
            "out": scratch / "bundle.zip",
            "measured": _measured(runtime, project, names),
            "collect": bool(project.settings.get("collect")),
        }
        if context.payload["format"] == CASCADE:
            report, cascade = _cascade(runtime, context, project, folder, names, rng, arguments)
        else:
            report, cascade = export_bundle(folder, context.payload["format"], **arguments), {}
        if context.should_stop():  # a round need not wait any more: only the upload is left
            raise Interrupted("stopped")
        runtime.storage.put_file(report.path, path)
    result = {
        **_answer(context, project, student, report.bytes),
        "model_bytes": report.model_bytes,
        "parity": dict(report.parity),
        "layers": dict(report.layers),
        "latency": {"p50_ms": report.latency.p50_ms, "items_per_second": report.latency.items_per_second},
        **cascade,
    }
    with runtime.database.write() as session:
        context.finish(session, result)


def _cascade(
    runtime: Runtime,
    context: JobContext,
    project: Project,
    folder: Path,
    names: list[str],
    rng: np.random.Generator,
    arguments: dict[str, Any],
) -> tuple[BundleReport, dict[str, Any]]:
    """The bundle of student and teacher, and what the job's result says of the cascade."""
    from models.export.cascade_bundle import export_cascade
    from worker.cascade import cascade_parts

    context.progress(0.3, "teaching the teacher's head on the small encoder")
    parts = cascade_parts(runtime, project, folder, names, rng)
    context.progress(0.7, "choosing what the student passes on")
    facts: CardFacts = arguments["card"]
    arguments["card"] = replace(facts, limits=(*facts.limits, *parts.limits))
    asked: dict[str, Any] = {name: context.payload.get(name) for name in ("accuracy", "share")}
    report, threshold = export_cascade(folder, parts.teacher, fresh=parts.fresh, **arguments, **asked)
    return report, {"cascade": threshold.to_dict()}


def _export_training_data(runtime: Runtime, context: JobContext, project: Project, student: Student) -> None:
    """Put what the student can be trained from again into the storage, instead of a bundle."""
    context.progress(0.1, "gathering what it was taught")
    with scratch_folder(runtime.settings) as scratch:
        size = write_training_data(runtime, project.id, student, scratch / "training.zip")
        runtime.storage.put_file(scratch / "training.zip", exports.path_of(project.id, context.job_id, context.attempt))
    with runtime.database.write() as session:
        context.finish(session, _answer(context, project, student, size))


def _answer(context: JobContext, project: Project, student: Student, size: int) -> dict[str, Any]:
    return {
        "download_url": f"/v1/projects/{project.id}/students/{student.version}/exports/{context.job_id}",
        "filename": exports.name_of(project.name, student.version, context.payload["format"]),
        "version": student.version,
        "format": context.payload["format"],
        "bytes": size,
    }


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


def _teacher(student: Student) -> str:
    """What gave the soft labels, in words, and why that."""
    encoder = student.recipe.get("encoder")
    head = f"multinomial logistic regression on features of the encoder {encoder}"
    if student.metrics.get("teacher_kind", "logistic") == "logistic":
        return head
    why = str(student.metrics.get("teacher_why", "")).rstrip(".")
    return f"{teacher_in_words(student.metrics)} (the head is {head}; {why})"


def _facts(runtime: Runtime, project: Project, student: Student) -> CardFacts:
    with runtime.database.read() as session:
        spent = ledger.totals(session, project.id)
        round_ = session.get(Round, (project.id, student.round))
    recipe: dict[str, Any] = dict(student.recipe)
    training = recipe.pop("training", None)
    cut = (student.metrics.get("distillation") or {}).get("cut_share")
    cut_in_words = () if cut is None else (f"Long texts are cut: {cut:.1%} of those that it learned from were.",)
    return CardFacts(
        project=project.name,
        version=student.version,
        label_counts=recipe.pop("labels_by_source", {}),
        labels_per_class=recipe.pop("labels_per_class", None),
        accuracy=student.metrics.get("accuracy"),
        energy={name: spent[name] for name in ("watt_hours", "cpu_seconds", "grams_co2e")},
        n_pool=project.n_items - project.n_test,
        teacher=_teacher(student),
        metrics={name: value for name, value in student.metrics.items() if name != "accuracy"},
        recipe=recipe,
        seed=recipe.get("seed"),
        limits=(*_encoder_limits(student), *cut_in_words),
        created_at=rfc3339(student.created_at if round_ is None else round_.finished_at),
        training={"project_id": str(project.id), **training} if training else None,
        **_report(runtime, student),
    )


def _encoder_limits(student: Student) -> list[str]:
    """What the student's teacher read badly: it cannot have taught that well."""
    seen = (student.metrics.get("encoder") or {}).get("languages")
    cut = (student.metrics.get("encoder") or {}).get("cut_share")
    said = []
    if seen and seen["found"]:
        shares = ", ".join(f"{entry['name']} {entry['share']:.0%}" for entry in seen["found"])
        known = ", ".join(map(language_name, seen["known"]))
        said.append(
            f"Languages of a sample of {seen['sample']} texts: {shares}; its teacher's encoder was trained on {known}."
        )
    if cut:
        said.append(f"Its teacher did not read {cut:.1%} of the texts to their ends.")
    return said


def _report(runtime: Runtime, student: Student) -> dict[str, Any]:
    """The report that lies beside the student, and its pictures; neither where it was trained before there were any."""
    path, found = registry.report_path(student), {}
    for file in runtime.storage.list(path):
        found[file.rpartition("/")[2]] = runtime.storage.get_bytes(file)
    if registry.REPORT not in found:
        return {}
    pictures = {name: found[f"{name}.png"] for name in registry.PICTURES if f"{name}.png" in found}
    return {"report": json.loads(found[registry.REPORT]), "pictures": pictures}
