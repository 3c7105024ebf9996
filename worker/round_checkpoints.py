"""Checkpoints of a round, in the storage: kept for another attempt at the same job with the same labels."""

from __future__ import annotations

import hashlib
import io

import numpy as np

from winnow import attempt_files
from winnow.errors import LostJob
from winnow.jobs import Interrupted, JobContext
from worker.base import Runtime
from worker.recipe import Recipe
from worker.round_data import Arrays, RoundData


class StoredCheckpoints:
    """Files under paths that bear the attempt; the job row says which of them count."""

    def __init__(self, runtime: Runtime, context: JobContext, data: RoundData, recipe: Recipe, encoder: str) -> None:
        self._runtime = runtime
        self._context = context
        self._digest = digest_of(data, recipe, encoder)
        kept = context.checkpoint_state
        self._steps: dict[str, str] = dict(kept.get("steps", {})) if kept.get("digest") == self._digest else {}

    def load(self, step: str) -> Arrays | None:
        """The arrays that an earlier attempt saved, where it knew the same labels."""
        path = self._steps.get(step)
        if path is None:
            return None
        try:
            data = self._runtime.storage.get_bytes(path)
        except FileNotFoundError:
            return None
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)

    def save(self, step: str, arrays: Arrays) -> None:
        """Keep the arrays; raises LostJob when the job was overtaken."""
        context = self._context
        if context.project_id is None:
            return
        folder = attempt_files.folder(context.project_id, "scratch", context.job_id, context.attempt)
        path = f"{folder}/{step}.npz"
        data = io.BytesIO()
        np.savez(data, **dict(arrays), allow_pickle=False)
        self._runtime.storage.put_bytes(data.getvalue(), path)
        self._steps[step] = path
        with self._runtime.database.write() as session:
            context.checkpoint(session, {"digest": self._digest, "steps": self._steps})

    def progress(self, fraction: float, message: str) -> None:
        """Show it; raises Interrupted or LostJob when it is time to stop."""
        if self._context.should_stop():
            if self._context.lost:
                raise LostJob("The job was canceled or taken over.")
            raise Interrupted("the worker stops")
        self._context.progress(0.05 + 0.85 * fraction, message)


def digest_of(data: RoundData, recipe: Recipe, encoder: str) -> str:
    """Names what a round learns from: the same for another attempt at the same labels."""
    total = hashlib.sha256(repr((data.class_names, recipe, encoder, list(data.views))).encode())
    for array in (data.labeled_rows, data.y, data.exploration, data.holdout_rows, data.holdout_y):
        total.update(np.ascontiguousarray(array).tobytes())
        total.update(b"|")
    return total.hexdigest()
