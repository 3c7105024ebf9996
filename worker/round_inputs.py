"""Loading what a round needs from the database, the feature store and the storage."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from models.artifacts import load_arrays, load_description
from models.encoders import Encoder
from models.trunks import load_trunk
from winnow import attempt_files, pool, registry, rounds
from winnow.classifiers import classifier_of
from winnow.db import tables
from winnow.db.base import utcnow
from winnow.db.tables import Item, Lease, Project, Round, Student
from winnow.features import Column, FeatureMatrix, Features, FeatureStore
from winnow.jobs import Interrupted, JobContext
from winnow.label_rows import TrainingLabels, standing_for_training
from winnow.projects import class_names, unarchived
from winnow.scratch import scratch_folder
from winnow.settings import Settings
from worker.base import Runtime
from worker.diffused import load_spread
from worker.finetuned import METHODS, TRANSFER_SIZES
from worker.finetuned_files import base_of, load_weights
from worker.project_encoder import (
    class_phrases,
    class_vectors,
    encoder_that_is_done,
    hub_models,
    project_encoder,
)
from worker.recipe import Recipe
from worker.round_checkpoints import MARK
from worker.round_data import IntArray, PreviousRound, RawItem, RoundData
from worker.tasks.encode import encode_ahead

#: How long a round encodes the pool before it starts with what there is; the encode job does the rest after it.
ENCODE_AHEAD_SECONDS = 10.0
#: Rows of the test set that are encoded for a round before the encode job has come to them.
MOST_UNCOVERED_TEST_ROWS = 500
TEACHER, CARRY = "teacher.safetensors", "carry.json"
HALF_LABELED = "somebody has labelled it; it needs another opinion"


@dataclass(frozen=True)
class Snapshot:
    """The project at one moment: what the round knows, and all that it may rank.

    ``candidates`` and ``half_labeled`` (items that still need another person's label) are item numbers.
    """

    project: Project
    number: int
    labels: TrainingLabels
    candidates: IntArray
    half_labeled: IntArray
    pending: IntArray
    batch_size: int

    @property
    def mark(self) -> dict[str, Any]:
        """What another attempt finds the same labels by, and would otherwise see changed by those that came since."""
        return {"cutoff": self.labels.cutoff, "labels": self.labels.digest(), "batch_size": self.batch_size}

    @property
    def training(self) -> IntArray:
        """Places, in ``labels``, of what may be trained on."""
        return np.array([i for i, split in enumerate(self.labels.splits) if split == "pool"], np.int64)

    @property
    def measured(self) -> tuple[IntArray, bool]:
        """Places, in ``labels``, of what is measured on: the project's own test set, else the holdout."""
        test = [i for i, split in enumerate(self.labels.splits) if split == "test"]
        held = [i for i, split in enumerate(self.labels.splits) if split == "holdout"]
        return np.array(test or held, np.int64), bool(test)

    def class_count(self) -> int:
        """How many classes have labels to train on."""
        return len(np.unique(self.labels.classes[self.training]))

    def training_counts(self) -> dict[str, dict[str, int]]:
        """How many labels there are to train on, of each class and from each source."""
        names = class_names(self.project)
        return {
            "labels_per_class": dict(Counter(names[index] for index in self.labels.classes[self.training].tolist())),
            "labels_by_source": dict(Counter(self.labels.sources[place] for place in self.training.tolist())),
        }


def take_snapshot(runtime: Runtime, context: JobContext) -> Snapshot:
    """Read the project as it stands, and note that labels from now on count towards the next round.

    An attempt that goes on from a costly step sees the labels that the step saw, where they all still stand.
    """
    with runtime.database.read() as session:
        project = unarchived(session, context.project_id)
        kept = _labels_of(session, project.id, context.checkpoint_state.get(MARK))
        snapshot = _snapshot(session, project, kept or standing_for_training(session, project.id))
    with runtime.database.write() as session:
        context.fence(session, progress=0.02, message="reading the labels")
        if kept is None:
            rounds.note_cutoff(session, project.id, project.n_labels)
    if kept is None:
        return snapshot
    return replace(snapshot, batch_size=int(context.checkpoint_state[MARK]["batch_size"]))


def snapshot_of(session: Session, project: Project, round_: Round) -> Snapshot:
    """What a round that has ended knew, as far as it still stands; what may be ranked is of now."""
    labels = standing_for_training(session, project.id, upto=round_.cutoff)
    return replace(_snapshot(session, project, labels), number=round_.n)


def _snapshot(session: Session, project: Project, labels: TrainingLabels) -> Snapshot:
    held = _numbers(session, select(Item.number).join(Lease, Lease.item_id == Item.id), project.id, leased=True)
    in_pool = select(Item.number).where(Item.split == "pool")
    # Nearly all items: in the order in which they lie, a sixth of the time that the index of the open ones takes.
    fresh = _numbers(session, in_pool.where(Item.is_open.is_(True), Item.standing == 0), project.id)
    begun = (
        in_pool.where(text("items.is_open"), Item.standing > 0).order_by(Item.standing.desc(), Item.number).limit(1_000)
    )
    half_labeled = _numbers(session, begun, project.id) if project.settings["overlap"] > 1 else held[:0]
    number, size = rounds.next_number(session, project.id), rounds.batch_size(project)
    return Snapshot(project, number, labels, np.setdiff1d(fresh, held), half_labeled, held, size)


def _labels_of(session: Session, project_id: int, mark: dict[str, Any] | None) -> TrainingLabels | None:
    """The labels that an earlier attempt learned from; None where there is none, or one of them was changed since."""
    if mark is None:
        return None
    labels = standing_for_training(session, project_id, upto=int(mark["cutoff"]))
    return labels if labels.digest() == mark["labels"] else None


def _numbers(session: Session, query: Any, project_id: int, *, leased: bool = False) -> IntArray:
    query = query.where(Item.project_id == project_id)
    if leased:
        query = query.where(Lease.expires_at > utcnow()).distinct()
    return np.fromiter(session.scalars(query), np.int64)


def make_recipe(snapshot: Snapshot, encoder: str, operator: Settings) -> Recipe:
    """What the project's settings ask for; the seed follows from the project and the number of the round."""
    settings = snapshot.project.settings
    seeded = hashlib.sha256(f"{snapshot.project.order_key}:{snapshot.number}".encode()).digest()
    usual = Recipe.transfer_size, Recipe.warm_transfer_size
    cold, warm = TRANSFER_SIZES if settings["teacher"] in METHODS else usual
    return Recipe(
        strategy=settings["strategy"],
        encoder=encoder,
        teacher=settings["teacher"],
        classifier=classifier_of(settings["teacher"], operator.classifiers),
        student=settings["student"],
        seed=int.from_bytes(seeded[:4]),
        batch_size=snapshot.batch_size,
        student_mb=settings["budget"].get("student_mb"),
        student_ms=settings["budget"].get("student_ms"),
        device=settings.get("device"),
        transfer_size=cold,
        warm_transfer_size=warm,
    )


@dataclass(frozen=True)
class Rows:
    """Which item each row of the round's matrix is: row i is item i up to ``covered``, then come ``further``."""

    covered: int
    further: IntArray

    def of(self, numbers: IntArray) -> IntArray:
        """The rows of items."""
        beyond = self.covered + np.searchsorted(self.further, numbers)
        return np.where(numbers < self.covered, numbers, beyond).astype(np.int64)

    def numbers(self, rows: IntArray) -> IntArray:
        """The items of rows."""
        rows = np.asarray(rows, np.int64)
        if not len(self.further):
            return rows
        return np.where(rows < self.covered, rows, self.further[np.maximum(rows - self.covered, 0)])


def load_data(
    runtime: Runtime, context: JobContext, snapshot: Snapshot
) -> tuple[RoundData, Rows, Encoder | tables.Encoder]:
    """The arrays of a round. Labelled items that have no features yet are encoded here; they are few."""
    project, labels = snapshot.project, snapshot.labels
    done, encoder = encoder_that_is_done(runtime, project), None
    if done is None:
        encoder = project_encoder(runtime, context, project)
        encode_ahead(runtime, context, encoder, ENCODE_AHEAD_SECONDS)
    used_encoder = done or encoder
    store = FeatureStore(runtime.database, runtime.storage, runtime.settings)
    matrix = store.matrix(project.id)
    if used_encoder is None or matrix.digest != used_encoder.digest:
        raise Interrupted("the encoder was replaced")
    training = snapshot.training
    measured, is_test = _measured(snapshot, matrix.covered)
    used = np.concatenate([labels.numbers[training], labels.numbers[measured]])
    rows = Rows(matrix.covered, np.unique(used[used >= matrix.covered]))
    features = _with_further(runtime, project, encoder, matrix, rows.further)

    def raw(wanted: IntArray) -> Sequence[RawItem]:
        with runtime.database.read() as session:
            return pool.raw_items(session, project.id, rows.numbers(wanted).tolist())

    # While the pool is being encoded its graph would be out of date with each round.
    spread = {} if done is None else load_spread(runtime, store, project.id, matrix, features)
    mechanisms = np.array([labels.mechanisms[place] == "exploration" for place in training], bool)
    data = RoundData(
        task=project.task,
        class_names=tuple(class_names(project)),
        features=features,
        raw=raw,
        labeled_rows=rows.of(labels.numbers[training]),
        y=labels.classes[training],
        exploration=mechanisms,
        candidate_rows=snapshot.candidates[snapshot.candidates < matrix.covered],
        holdout_rows=rows.of(labels.numbers[measured]),
        holdout_y=labels.classes[measured],
        holdout_is_test=is_test,
        pending_rows=snapshot.pending[snapshot.pending < matrix.covered],
        spread=spread,
        groups=_groups(runtime, store, project.id, rows, len(features)),
        class_vectors=_class_vectors(runtime, snapshot, used_encoder),
        class_phrases=partial(class_phrases, runtime, project, used_encoder),
        base=base_of(runtime, project),
        trunk=partial(load_trunk, used_encoder.name, hub_models(runtime.settings)),
    )
    return data, rows, used_encoder


def _measured(snapshot: Snapshot, covered: int) -> tuple[IntArray, bool]:
    """Places of labels that are measured on, and whether they are the project's own test set.

    Of a test set whose items are not encoded yet only so many are that a round can encode.
    """
    measured, is_test = snapshot.measured
    beyond = measured[snapshot.labels.numbers[measured] >= covered]
    if is_test and len(beyond) > MOST_UNCOVERED_TEST_ROWS:
        measured = np.setdiff1d(measured, beyond[MOST_UNCOVERED_TEST_ROWS:])
    return measured, is_test


def _class_vectors(
    runtime: Runtime, snapshot: Snapshot, encoder: Encoder | tables.Encoder
) -> NDArray[np.float32] | None:
    """The names of the classes, while some have no labels and the strategy looks for them."""
    project = snapshot.project
    all_seen = snapshot.class_count() == len(project.labels)
    return None if all_seen or project.settings["strategy"] != "auto" else class_vectors(runtime, project, encoder)


def _groups(runtime: Runtime, store: FeatureStore, project_id: int, rows: Rows, n: int) -> IntArray:
    """For each of the ``n`` rows the first row of its near-duplicates; a row that no item bears is by itself.

    An item that was changed has another number since; who had its old one in common with it is grouped with an empty
    row, which no strategy sees.
    """

    def read(start: int, stop: int) -> Column:
        with runtime.database.read() as session:
            found = np.fromiter(
                pool.near_duplicates(session, project_id, start, stop), [("number", np.int64), ("key", np.uint64)]
            )
        keys = np.zeros(stop - start, np.uint64)
        keys[found["number"] - start] = found["key"]
        return keys

    keys = np.zeros(n, np.uint64)
    keys[: rows.covered] = store.column(project_id, "near-duplicates", rows.covered, read)
    for row, number in enumerate(rows.further.tolist(), rows.covered):
        keys[row] = read(number, number + 1)[0]
    groups = np.arange(n)
    [borne] = np.nonzero(keys)
    _, first, inverse = np.unique(keys[borne], return_index=True, return_inverse=True)
    groups[borne] = borne[first[inverse]]
    return groups


def _with_further(
    runtime: Runtime, project: Project, encoder: Encoder | None, matrix: FeatureMatrix, further: IntArray
) -> Features:
    """The matrix with the rows of further items below it; still a memory map, of a copy that goes when it is closed."""
    if not len(further) or encoder is None:
        return matrix.array
    with runtime.database.read() as session:
        items = pool.raw_items(session, project.id, further.tolist())
    encoded = encoder.encode(items).features.astype(encoder.dtype)
    if matrix.covered == 0:
        return encoded
    if not isinstance(matrix.array, np.memmap):
        return np.concatenate([matrix.array, encoded])
    with scratch_folder(runtime.settings) as folder:
        copy = folder / "features"
        matrix.array.tofile(copy)
        with copy.open("ab") as end:
            end.write(encoded.tobytes())
        shape = (matrix.covered + len(further), matrix.array.shape[1])
        return cast(Features, np.memmap(copy, matrix.array.dtype, "r", shape=shape))


def load_previous(runtime: Runtime, snapshot: Snapshot, encoder: str) -> PreviousRound | None:
    """The last round's teacher and the current student, for a warm start; None before there is one.

    What was learned from the features of another encoder than ``encoder`` is of no use: all of it is learned afresh.
    """
    with runtime.database.read() as session:
        last = next(iter(registry.list_students(session, snapshot.project.id, limit=1)), None)
        current = registry.current_version(session, snapshot.project.id)
        student = None if current is None else registry.get_student(session, snapshot.project.id, current)
    if last is None:
        return None
    try:
        previous = _previous(runtime, snapshot.project, last, student)
    except FileNotFoundError:  # files that somebody took away: start afresh
        return None
    if last.recipe.get("encoder", encoder) == encoder:
        return previous
    return previous.with_another_encoder()


def _previous(runtime: Runtime, project: Project, last: Student, current: Student | None) -> PreviousRound:
    with attempt_files.local_folder(runtime.storage, registry.training_path(last)) as folder:
        carry = json.loads((folder / CARRY).read_text("utf-8"))
        teacher = load_file(folder / TEACHER) if (folder / TEACHER).exists() else None
    finetuned, finetuned_in = load_weights(runtime, project, last, carry)
    previous = PreviousRound(
        teacher=teacher,
        class_names=tuple(carry["class_names"]),
        rounds_since_cold=carry.get("rounds_since_cold", 0),
        cold_agreement=carry.get("cold_agreement"),
        cold_labels=carry.get("cold_labels", 0),
        family_labels=carry.get("family_labels", 0),
        trained_labels=carry.get("trained_labels", 0),
        finetuned=finetuned,
        finetuned_in=finetuned_in,
    )
    if current is None:
        return previous
    with attempt_files.local_folder(runtime.storage, registry.training_path(current)) as trained:
        names, student = tuple(load_description(trained)["class_names"]), load_arrays(trained)
    if names != previous.class_names:  # the classes have changed between the two: the student is the one that counts
        previous = replace(previous, teacher=None, finetuned=None, finetuned_in=None, class_names=names)
    return replace(previous, student=student, student_family=current.family)
