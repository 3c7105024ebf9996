"""Checkpoints of a round, in the storage: kept for another attempt at the same job with the same labels."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from winnow import attempt_files
from winnow.errors import LostJob
from winnow.jobs import Interrupted, JobContext
from worker.base import Runtime
from worker.finetuned import STEPS
from worker.recipe import Recipe
from worker.round_data import Arrays, RoundData

COSTLY = frozenset(STEPS)
"""Steps that take minutes."""
MARK = "snapshot"
"""In the job's checkpoint: what the labels are found again by; only where a costly step is among its steps."""


class StoredCheckpoints:
    """Files under paths that bear the attempt; the job row says which of them count."""

    def __init__(
        self,
        runtime: Runtime,
        context: JobContext,
        data: RoundData,
        recipe: Recipe,
        encoder: str,
        mark: Mapping[str, Any] | None = None,
    ) -> None:
        self._runtime = runtime
        self._context = context
        self._mark = mark
        self._digest = digest_of(data, recipe, encoder)
        self._costly = "" if mark is None else costly_digest(data.class_names, recipe, encoder, mark)
        kept = context.checkpoint_state
        self._steps: dict[str, str] = dict(kept.get("steps", {}))
        if kept.get("digest") != self._digest:
            same = mark is not None and kept.get("costly") == self._costly
            self._steps = {step: path for step, path in self._steps.items() if same and step in COSTLY}

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
            context.checkpoint(session, self._state())

    def _state(self) -> dict[str, Any]:
        # What takes a second is better made anew, from the labels that have come since. What takes minutes would never
        # end where people go on labelling and workers die: it goes on from the labels that it began with.
        held = self._mark is not None and not COSTLY.isdisjoint(self._steps)
        kept = {"digest": self._digest, "steps": self._steps}
        return {**kept, "costly": self._costly, MARK: self._mark} if held else kept

    def progress(self, fraction: float, message: str) -> None:
        """Show it; raises Interrupted or LostJob when it is time to stop."""
        if self._context.should_stop():
            if self._context.lost:
                raise LostJob("The job was canceled or taken over.")
            raise Interrupted("the worker stops")
        self._context.progress(0.05 + 0.85 * fraction, message)


def costly_digest(class_names: Sequence[str], recipe: Recipe, encoder: str, mark: Mapping[str, Any]) -> str:
    """Names what a costly step learns from: labelled items, whichever rows they are and however the pool is seen."""
    return hashlib.sha256(repr((tuple(class_names), recipe, encoder, mark["labels"])).encode()).hexdigest()


def digest_of(data: RoundData, recipe: Recipe, encoder: str) -> str:
    """Names what a round learns from: the same for another attempt at the same labels."""
    total = hashlib.sha256(repr((data.class_names, recipe, encoder, list(data.views))).encode())
    for array in (data.labeled_rows, data.y, data.exploration, data.holdout_rows, data.holdout_y):
        total.update(np.ascontiguousarray(array).tobytes())
        total.update(b"|")
    return total.hexdigest()
