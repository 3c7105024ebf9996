"""What a cascade's export needs of a project: the round's teacher as a head on a small encoder, and fresh texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sqlalchemy import select

from models.compression.compact import Compact
from models.errors import BadInput, ModelError
from models.export.cascade_bundle import CascadeTeacher
from models.linear_head import fit_head
from models.teachers import RAW, LogisticTeacher
from winnow import pool
from winnow.db.tables import Item, Project
from winnow.features import FeatureStore
from winnow.label_rows import standing_for_training
from winnow.projects import class_names
from worker.base import Runtime
from worker.diffused import load_spread
from worker.round_inputs import TEACHER

log = structlog.get_logger(__name__)

TRANSFER_TEXTS = 3_000
"""Soft labels that the head learns from, at most."""
MOST_LABELS = 3_000
FRESH_TEXTS = 1_000
LEAST_FRESH = 30
"""With fewer items that no student learns from, items of the pool stand in."""
LABEL_WEIGHT = 2.0
STOOD_IN = (
    "Too few items were kept from the student to say how often it passes on: items that it learned from were used, and "
    "of others it will pass on more."
)

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class CascadeParts:
    """The teacher of a cascade, texts that the student did not learn from, and what the card has to say of them."""

    teacher: CascadeTeacher
    fresh: list[str]
    limits: tuple[str, ...] = ()


def cascade_parts(
    runtime: Runtime, project: Project, folder: Path, names: list[str], rng: np.random.Generator
) -> CascadeParts:
    """Make the teacher of a cascade: an encoder, and a head that learns what the round's teacher made of the pool.

    Args:
        runtime: The process's connections.
        project: Over texts.
        folder: The student as it was trained, with its round's teacher.
        names: The student's classes, in its order.
        rng: Draws the texts.

    Raises:
        BadInput: The project holds no texts.
        ModelError: The encoder cannot be had; no labels of the student's classes are left.
    """
    if project.task != "text":
        raise BadInput(f"A cascade reads texts; this project holds {project.task} items. Export it as onnx-int8.")
    numbers, soft = _soft_labels(runtime, project, folder, rng)
    labelled, y = _labels(runtime, project, names, rng)
    fresh_numbers, limits = _fresh(runtime, project, rng)
    with runtime.database.read() as session:
        wanted = [numbers, labelled, fresh_numbers]
        transfer, with_labels, fresh = (
            [str(text) for text in pool.raw_items(session, project.id, some.tolist())] for some in wanted
        )
    if soft is not None and soft.shape[1] != len(names):  # classes were added or taken away since its round
        transfer, soft = [], None
    if not transfer and not with_labels:
        raise ModelError("Nothing teaches the cascade's head: the student's classes have no labels any more.")
    encoder = cascade_encoder(runtime, [*transfer, *with_labels, *fresh])
    rows = encoder.network().run([*transfer, *with_labels])
    targets = np.eye(len(names), dtype=np.float32)[y]
    if soft is not None:
        targets = np.concatenate([soft, targets])
    weight = np.ones(len(rows), np.float32)
    weight[len(transfer) :] = LABEL_WEIGHT
    head = fit_head(rows, targets, weight=weight, rng=rng)
    return CascadeParts(CascadeTeacher(encoder, head), fresh, limits)


def cascade_encoder(runtime: Runtime, texts: list[str]) -> Compact:
    """The encoder that the operator compressed (``WINNOW_CASCADE_ENCODER``), else MiniLM in INT8 with these words.

    Raises:
        ModelError: It cannot be had.
    """
    if runtime.settings.cascade_encoder is not None:
        from models.compression.folder import load_compact

        return load_compact(runtime.settings.cascade_encoder)[0]
    from models.compression.minilm import compact_minilm

    return compact_minilm(texts)


def _soft_labels(
    runtime: Runtime, project: Project, folder: Path, rng: np.random.Generator
) -> tuple[IntArray, FloatArray | None]:
    """Random items of the pool and what the round's teacher thinks of them; none where it cannot be asked any more."""
    nothing: tuple[IntArray, FloatArray | None] = (np.empty(0, np.int64), None)
    try:
        teacher = LogisticTeacher.from_arrays(load_file(folder / TEACHER))
    except (OSError, ModelError) as error:
        log.warning("cascade.no_teacher", reason=str(error))
        return nothing
    store = FeatureStore(runtime.database, runtime.storage, runtime.settings)
    matrix = store.matrix(project.id)
    views = {RAW: matrix.array}
    if teacher.view != RAW:
        views |= load_spread(runtime, store, project.id, matrix, matrix.array)
    with runtime.database.read() as session:
        numbers = np.fromiter(pool.pool_numbers(session, project.id, matrix.covered), np.int64)
    chosen = rng.permutation(numbers)[:TRANSFER_TEXTS]
    if teacher.view not in views or not len(chosen):
        log.warning("cascade.no_view", view=teacher.view)
        return nothing
    try:
        return chosen, teacher.predict_proba(views[teacher.view], chosen)
    except BadInput as error:  # the features are of another encoder by now
        log.warning("cascade.other_features", reason=str(error))
        return nothing


def _labels(
    runtime: Runtime, project: Project, names: list[str], rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Labelled items that may be trained on, and their places among the student's classes."""
    with runtime.database.read() as session:
        labels, now = standing_for_training(session, project.id), class_names(project)
    places = [
        place for place, split in enumerate(labels.splits) if split == "pool" and now[labels.classes[place]] in names
    ]
    some = rng.permutation(np.array(places, np.int64))[:MOST_LABELS]
    classes = np.array([names.index(now[labels.classes[place]]) for place in some.tolist()], np.int64)
    return labels.numbers[some], classes


def _fresh(runtime: Runtime, project: Project, rng: np.random.Generator) -> tuple[IntArray, tuple[str, ...]]:
    """Items that students never learn from, labelled or not; items of the pool where there are too few."""
    held = select(Item.number).where(Item.project_id == project.id, Item.split != "pool").order_by(Item.number)
    with runtime.database.read() as session:
        numbers = np.fromiter(session.scalars(held), np.int64)
        if len(numbers) >= LEAST_FRESH:
            return rng.permutation(numbers)[:FRESH_TEXTS], ()
        every = np.fromiter(pool.pool_numbers(session, project.id, project.next_number), np.int64)
    return rng.permutation(every)[:FRESH_TEXTS], (STOOD_IN,)
