"""The encoder that ``auto`` means for a project of texts: settled by its labels, once there are enough of them.

A project begins with ``minilm`` where that is installed. Where `worker.encoder_comparison` finds the other one clearly
better the project changes to it, and its pool is encoded anew.
docs/decisions/0013-the-labels-choose-the-encoder.md says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from models.encoder_choice import EncoderChoice
from models.encoders import Encoder
from models.errors import ModelError
from winnow import features, pool
from winnow.db import tables
from winnow.db.session import lock_project
from winnow.features import FeatureStore
from winnow.jobs import JobContext, request_encode
from worker.base import Runtime
from worker.encoder_comparison import compare_encoders, comparison_is_due, labels_choose, other_encoder
from worker.project_encoder import CHOICE, encoder_that_is_done, fitted_encoder, stored_encoder, stored_files
from worker.round_inputs import Snapshot

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Other:
    """The encoder that the project does not have, fitted on its pool."""

    encoder: Encoder
    fitted_on: int | None


def settle_encoder(runtime: Runtime, context: JobContext, snapshot: Snapshot) -> None:
    """Compare the encoders where that is due; write down what was found, with the other encoder where it is taken.

    Raises:
        LostJob: this attempt was overtaken.
    """
    stored = encoder_that_is_done(runtime, snapshot.project)
    if stored is None or not _is_due(snapshot, stored):
        return
    name = other_encoder(stored.name)
    context.progress(0.03, f"comparing the encoder with {name}")
    try:
        other = _Other(*fitted_encoder(runtime, snapshot.project, name))
        choice = _choice(runtime, snapshot, stored, other)
    except ModelError as error:  # labeling goes on with the encoder that is there
        log.warning("round.no_encoder_choice", encoder=name, reason=str(error))
        return
    log.info("round.encoder", **choice.to_dict())
    row = None
    if choice.encoder == name:
        row = stored_files(runtime, context, snapshot.project.id, other.encoder, other.fitted_on, choice.to_dict())
    _write(runtime, context, stored, choice, row)
    if row is not None:
        runtime.kept["encoder"] = other.encoder


def _is_due(snapshot: Snapshot, stored: tables.Encoder) -> bool:
    """Whether the settings leave the choice to the labels, and these are enough for it."""
    settings = snapshot.project.settings
    if not labels_choose(settings["encoder"], settings["student"], settings["teacher"]):
        return False
    before = stored.details.get(CHOICE)
    compared_at = None if before is None else before["labels"]
    return comparison_is_due(stored.name, len(snapshot.training), snapshot.class_count(), compared_at)


def _choice(runtime: Runtime, snapshot: Snapshot, stored: tables.Encoder, other: _Other) -> EncoderChoice:
    """Both encoders' rows of the same labels, compared."""
    project, labels, training = snapshot.project, snapshot.labels, snapshot.training

    def rows_of(places: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        numbers = labels.numbers[training[places]]
        with runtime.database.read() as session:
            items = pool.raw_items(session, project.id, numbers.tolist())
        return {
            stored.name: _rows(runtime, project.id, stored, numbers, items),
            other.encoder.name: other.encoder.encode(items).features,
        }

    return compare_encoders(
        rows_of,
        labels.classes[training],
        np.array([labels.mechanisms[place] == "exploration" for place in training], bool),
        present=stored.name,
        is_first=stored.details.get(CHOICE) is None,
        rng=np.random.default_rng([int(project.order_key[:16], 16), len(training)]),
    )


def _rows(
    runtime: Runtime, project_id: int, stored: tables.Encoder, numbers: NDArray[np.int64], items: Any
) -> NDArray[np.float32]:
    matrix = FeatureStore(runtime.database, runtime.storage, runtime.settings).matrix(project_id)
    if matrix.digest == stored.digest and numbers.max() < matrix.covered:
        return np.asarray(matrix.array[numbers], np.float32)
    return stored_encoder(runtime, stored).encode(items).features


def _write(
    runtime: Runtime, context: JobContext, stored: tables.Encoder, choice: EncoderChoice, row: tables.Encoder | None
) -> None:
    with runtime.database.write() as session:
        lock_project(session, stored.project_id)
        context.fence(session)
        now = features.encoder_of(session, stored.project_id)
        project = session.get_one(tables.Project, stored.project_id, populate_existing=True)
        if now is None or now.digest != stored.digest or project.settings["encoder"] != "auto":
            return  # somebody has named one meanwhile
        if row is None:
            now.details = {**now.details, CHOICE: choice.to_dict()}
        else:
            features.set_encoder(session, row)
            request_encode(session, stored.project_id)
