"""The features of a project after they have spread over its graph of neighbours: made once, extended as it grows."""

from __future__ import annotations

import hashlib

import numpy as np

from models.teachers import column_scaling
from sampler.auto_constants import LEAST_ROWS
from sampler.diffusion import DiffusedPool, blend, diffuse, drawn_references
from sampler.placing import Scaling
from winnow import pool
from winnow.features import FeatureMatrix, Features, FeatureStore
from worker.base import Runtime
from worker.round_data import IntArray

MOST_ROWS = 200_000
"""In a larger pool the first round would wait for minutes."""
OUTGROWN = 1.2
"""When the pool has grown by this since the graph was made, a new one is."""
_FORM = "both-and-lengths"
"""What is kept; changed with it, so that nothing kept in another form is taken for it."""


def spread_views(features: Features, diffused: Features, scaling: Scaling | None) -> dict[str, Features]:
    """The views of rows that their diffused form gives, the one that helps with the fewest labels last."""
    return {"blended": blend(features, diffused, scaling=scaling), "diffused": diffused}


def load_spread(
    runtime: Runtime, store: FeatureStore, project_id: int, matrix: FeatureMatrix, features: Features
) -> dict[str, Features]:
    """`spread_views` of ``features``, whose first rows are the ``matrix`` and whose others come after it.

    Only items of the pool are anybody's neighbours: never those that something is measured on. Empty where the pool is
    too small or too large for it.
    """
    if not LEAST_ROWS <= matrix.covered <= MOST_ROWS:
        return {}
    with runtime.database.read() as session:
        numbers = np.fromiter(pool.pool_numbers(session, project_id, matrix.covered), np.int64)
    if len(numbers) < LEAST_ROWS:
        return {}
    base = _kept(store, project_id, matrix, numbers) or matrix.covered
    array = matrix.array[:base]
    references = numbers[numbers < base]
    scaling = column_scaling(array)
    drawn = drawn_references(references)
    dim = array.shape[1]
    behind = -(-2 * len(drawn) // dim)  # rows whose bits hold the lengths of the diffused ones, as float32

    def make() -> Features:
        made = diffuse(array, references, scaling=scaling)
        rows = made.of_rows(np.arange(base)).astype(np.float16)
        lengths = np.zeros(behind * dim, dtype=np.float16)
        lengths[: 2 * len(drawn)] = made.lengths.view(np.float16)
        return np.concatenate([rows, blend(array, rows, scaling=scaling), lengths.reshape(behind, dim)])

    kept = store.derived(project_id, matrix, _name(base, references), 2 * base + behind, make)
    diffused, blended = kept[:base], kept[base : 2 * base]
    if base == len(features):
        return {"blended": blended, "diffused": diffused}
    lengths = kept[2 * base :].reshape(-1)[: 2 * len(drawn)].view(np.float32)
    grown = DiffusedPool(features, drawn, diffused[drawn].astype(np.float32), lengths, scaling)
    further = grown.of_rows(np.arange(base, len(features))).astype(np.float16)
    more = spread_views(features[base:], further, scaling)
    return {
        "blended": np.concatenate([blended, more["blended"]]),
        "diffused": np.concatenate([diffused, more["diffused"]]),
    }


def _kept(store: FeatureStore, project_id: int, matrix: FeatureMatrix, numbers: IntArray) -> int | None:
    """How many rows the graph that there is was made for, if it still serves."""
    for name in store.derived_names(project_id, matrix):
        base = int(name.split("-")[0])
        if base <= matrix.covered <= OUTGROWN * base and name == _name(base, numbers[numbers < base]):
            return base
    return None


def _name(base: int, references: IntArray) -> str:
    return f"{base}-{hashlib.sha256(references.tobytes()).hexdigest()[:16]}-{_FORM}"
