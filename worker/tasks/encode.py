"""Encoding: features for every item of a project, shard by shard, making way for rounds in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from sqlalchemy.orm import Session

from models.encoders import Encoder
from winnow import attempt_files, features, pool, registry
from winnow.db.session import lock_project
from winnow.db.tables import FeatureShard, Project
from winnow.drift import request_drift
from winnow.features import Features, FeatureStore
from winnow.jobs import Interrupted, JobContext, encode_runs
from winnow.projects import unarchived
from winnow.rounds import request_round, request_round_if_labels_wait
from worker.base import Runtime
from worker.pool_languages import look_at_languages
from worker.project_encoder import project_encoder

#: Items that are encoded between two looks at whether a round waits.
CHUNK = 256
#: A shard is stored after this long, or when it has this many rows.
SHARD_SECONDS = 1.0
SHARD_ROWS = 8_192

#: So many encoded rows are enough for a round to learn over and to choose from.
ENOUGH_AHEAD = 2_000
#: Writes down, in the transaction that publishes a shard, how far the work is; raises where the attempt was overtaken.
Keep = Callable[[Session, float, str], None]


@dataclass
class Tally:
    """What all attempts of the job did so far."""

    encoded: int = 0
    cut: int = 0
    failed: int = 0
    seconds: float = 0.0


def run(runtime: Runtime, context: JobContext) -> None:
    """Encode what has no features yet; ends when, under the project's lock, nothing is left."""
    project = _project(runtime, context)
    if project.next_number == 0:
        with runtime.database.write() as session:
            context.finish(session, _result(None, 0, Tally()))
        return
    context.progress(context.checkpoint_state.get("progress", 0.0), "loading the encoder")
    encoder = project_encoder(runtime, context, project)
    look_at_languages(runtime, context, project, encoder)
    tally = Tally(**context.checkpoint_state.get("tally", {}))

    def keep(session: Session, progress: float, message: str) -> None:
        context.checkpoint(session, {"tally": asdict(tally), "progress": progress}, progress, message)

    while not _finished(runtime, context, project, encoder, tally):
        _encode_shard(runtime, context, encoder, tally, keep)


def encode_ahead(runtime: Runtime, context: JobContext, encoder: Encoder, seconds: float) -> None:
    """Encode for a round, for about ``seconds`` at most: without features there is little to distil over and to rank.

    Once there are `ENOUGH_AHEAD` rows it is a fifth of that: rounds that follow each other at once must not keep the
    pool from being encoded, and should not take long either. What an encode job of another process is at is left to
    it, and waited for.
    """
    began = time.monotonic()

    def keep(session: Session, _progress: float, message: str) -> None:
        context.fence(session, progress=0.03, message=message)

    while True:
        project = _project(runtime, context)
        with runtime.database.read() as session:
            covered = features.covered(session, project.id)
            elsewhere = encode_runs(session, project.id)
        limit = seconds if covered < ENOUGH_AHEAD else seconds / 5
        if covered >= project.next_number or time.monotonic() - began >= limit:
            return
        if elsewhere:
            time.sleep(0.1)
        else:
            _encode_shard(runtime, context, encoder, Tally(), keep)


def _project(runtime: Runtime, context: JobContext) -> Project:
    with runtime.database.read() as session:
        return unarchived(session, context.project_id)


def _finished(runtime: Runtime, context: JobContext, began: Project, encoder: Encoder, tally: Tally) -> bool:
    project = _project(runtime, context)
    if project.settings["encoder"] != began.settings["encoder"]:
        raise Interrupted("another encoder was asked for")
    with runtime.database.read() as session:
        covered = features.covered(session, project.id)
    if covered < project.next_number:
        return False
    with runtime.database.write() as session:
        lock_project(session, project.id)
        now = session.get_one(Project, project.id, populate_existing=True)
        if features.covered(session, project.id) < now.next_number:
            return False
        if now.settings["encoder"] != began.settings["encoder"]:
            raise Interrupted("another encoder was asked for")
        request_round_if_labels_wait(session, now)
        if now.ranked_round == 0 and now.n_labels == 0:
            request_round(session, now, forced=False)  # the cold start: the first labels should cover the pool
        if _trained_on(session, project.id) not in (None, encoder.name):
            request_round(session, now, forced=False)  # the ranking is another encoder's
        request_drift(session, project.id)
        context.finish(session, _result(encoder, now.next_number, tally))
    return True


def _trained_on(session: Session, project_id: int) -> str | None:
    """The encoder whose features the newest student was trained on; None before there is one."""
    newest = registry.list_students(session, project_id, limit=1)
    return newest[0].recipe.get("encoder") if newest else None


def _encode_shard(runtime: Runtime, context: JobContext, encoder: Encoder, tally: Tally, keep: Keep) -> None:
    project = _project(runtime, context)
    with runtime.database.read() as session:
        start = features.covered(session, project.id)
    rows: list[Features] = []
    cut = 0
    at, began = start, time.monotonic()
    interrupted: Interrupted | None = None
    while at < project.next_number and at - start < SHARD_ROWS and time.monotonic() - began < SHARD_SECONDS:
        try:
            context.pause_point()
        except Interrupted as asked:
            interrupted = asked
            break
        stop = min(at + CHUNK, project.next_number)
        with runtime.database.read() as session:
            items = pool.raw_items(session, project.id, range(at, stop))
        encoded = encoder.encode(items)
        rows.append(encoded.features.astype(encoder.dtype))
        cut += encoded.n_cut
        tally.failed += encoded.n_failed
        at = stop
    seconds = time.monotonic() - began
    tally.encoded += at - start
    tally.cut += cut
    tally.seconds += seconds
    if rows:
        shard = FeatureShard(start=start, stop=at, n_cut=cut, seconds=seconds)
        _publish(runtime, context, encoder, project, shard, np.concatenate(rows), keep)
    if interrupted is not None:
        raise interrupted


def _publish(
    runtime: Runtime,
    context: JobContext,
    encoder: Encoder,
    project: Project,
    shard: FeatureShard,
    array: Features,
    keep: Keep,
) -> None:
    folder = attempt_files.folder(project.id, "features", context.job_id, context.attempt)
    shard.project_id, shard.path = project.id, f"{folder}/{shard.start}-{shard.stop}.npy"
    store = FeatureStore(runtime.database, runtime.storage, runtime.settings)
    store.put_shard(array, shard.path)
    progress = shard.stop / max(project.next_number, shard.stop)
    with runtime.database.write() as session:
        lock_project(session, project.id)
        stored = features.encoder_of(session, project.id)
        if stored is None or stored.digest != encoder.digest:
            raise Interrupted("the encoder was replaced")
        if features.covered(session, project.id) == shard.start:  # else a round or a job elsewhere was first
            store.add_shard(session, shard)
        keep(session, progress, f"{shard.stop:,} of {project.next_number:,} items encoded")


def _result(encoder: Encoder | None, items: int, tally: Tally) -> dict[str, object]:
    return {
        "items": items,
        "encoded": tally.encoded,
        "cut": tally.cut,
        "failed": tally.failed,
        "seconds": round(tally.seconds, 3),
        "items_per_second": round(tally.encoded / tally.seconds, 1) if tally.seconds else None,
        "encoder": None
        if encoder is None
        else {"name": encoder.name, "version": encoder.version, "digest": encoder.digest, "dim": encoder.dim},
    }
