"""The feature store: one matrix for each project and encoder, computed once, memory-mapped.

The truth is a row and a file for each shard. What is mapped is a file of the local cache that the shards were appended
to, one row for each item number; it is made again from the shards wherever it is missing.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard
from winnow.leftovers import abandon
from winnow.local_cache import LocalCache
from winnow.settings import Settings
from winnow.storage import Storage

Features = npt.NDArray[np.floating[Any]]
Column = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class FeatureMatrix:
    """Features of the items numbered 0 to ``covered`` (exclusive): ``array`` is (covered, dim), float16 or float32.

    ``digest`` names the encoder; it is None, and the array empty, before there is one.
    """

    array: Features
    covered: int
    digest: str | None


def encoder_of(session: Session, project_id: int) -> Encoder | None:
    """The fitted encoder of a project, if there is one."""
    return session.get(Encoder, project_id)


def set_encoder(session: Session, encoder: Encoder) -> Encoder:
    """Store the encoder of a project; features that another one computed are dropped."""
    old = session.get(Encoder, encoder.project_id)
    if old is not None and old.digest != encoder.digest:
        theirs = FeatureShard.project_id == encoder.project_id
        abandon(session, [old.path, *session.scalars(select(FeatureShard.path).where(theirs))])
        session.execute(delete(FeatureShard).where(theirs))
    merged = session.merge(encoder)
    session.flush()
    return merged


def covered(session: Session, project_id: int) -> int:
    """How many items, from number 0 on, have features."""
    return session.scalar(select(func.max(FeatureShard.stop)).where(FeatureShard.project_id == project_id)) or 0


class FeatureStore:
    """Writes shards, and reads them as one matrix."""

    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self._database = database
        self._storage = storage
        self._folder = settings.cache_folder / "features"
        # Two databases that share a data folder (one may be a copy of the other) never share a storage.
        self._origin = hashlib.sha256(storage.url.encode()).hexdigest()[:8]
        self._cache = LocalCache(settings.cache_folder, settings.cache_bytes)

    def put_shard(self, array: Features, path: str) -> None:
        """Store the file of a shard, (n, dim). ``path`` bears the attempt that computed it."""
        data = io.BytesIO()
        np.save(data, array, allow_pickle=False)
        self._storage.put_bytes(data.getvalue(), path)

    @staticmethod
    def add_shard(session: Session, shard: FeatureShard) -> None:
        """Write the row that makes a stored shard count. It begins where the last one ends.

        Raises:
            ValueError: it does not.
        """
        at = covered(session, shard.project_id)
        if shard.start != at or shard.stop <= shard.start:
            raise ValueError(f"a shard of rows {shard.start} to {shard.stop} cannot follow {at} rows")
        session.add(shard)
        session.flush()

    def matrix(self, project_id: int) -> FeatureMatrix:
        """All features of a project so far, memory-mapped."""
        with self._database.read() as session:
            encoder = encoder_of(session, project_id)
            shards = list(
                session.scalars(
                    select(FeatureShard).where(FeatureShard.project_id == project_id).order_by(FeatureShard.start)
                )
            )
        if encoder is None:
            return FeatureMatrix(np.zeros((0, 0), np.float16), 0, None)
        dtype, dim = np.dtype(encoder.dtype), encoder.dim
        rows = shards[-1].stop if shards else 0
        if rows == 0 or dim == 0:
            return FeatureMatrix(np.zeros((rows, dim), dtype), rows, encoder.digest)
        name = f"{encoder.digest[:16]}-{encoder.created_at.timestamp():.6f}.{encoder.dtype}"
        path = self._folder / f"{self._origin}-{project_id}-{name}"

        def grow(file: BinaryIO) -> None:
            self._append(file, shards, dtype, dim)

        with self._cache.grown(path, rows * dim * dtype.itemsize, grow) as file:
            array = np.memmap(file, dtype, "r", shape=(rows, dim))
        self._forget_others(project_id, path)
        return FeatureMatrix(array, rows, encoder.digest)

    def derived(
        self, project_id: int, matrix: FeatureMatrix, name: str, rows: int, make: Callable[[], Features]
    ) -> Features:
        """What ``make`` computes from the matrix, (rows, dim), float16, memory-mapped; computed once on this machine.

        One under another ``name``, or of another encoder, is forgotten.
        """
        dim = matrix.array.shape[1]
        path = self._derived_folder / f"{self._derived_prefix(project_id, matrix)}{name}"

        def fetch(part: Path) -> None:
            made = np.ascontiguousarray(make(), np.float16)
            if made.shape != (rows, dim):
                raise ValueError(f"{name} has shape {made.shape}, not {(rows, dim)}")
            made.tofile(part)

        with self._cache.held(path, rows * dim * 2, fetch) as file:
            array = np.memmap(file, np.float16, "r", shape=(rows, dim))
        self._forget_others(project_id, path)
        return array

    def column(self, project_id: int, name: str, rows: int, read: Callable[[int, int], Column]) -> Column:
        """A number for each of the first ``rows`` items, memory-mapped; read once on this machine: it may not change.

        ``read(start, stop)`` gives those of the items numbered ``start`` to ``stop`` (exclusive), (stop - start,).
        """
        if rows == 0:
            return np.zeros(0, np.uint64)
        path = self._folder / "columns" / f"{self._origin}-{project_id}-{name}"

        def grow(file: BinaryIO) -> None:
            have = file.seek(0, os.SEEK_END) // 8
            file.truncate(have * 8)  # a writer that died may have left part of a number
            file.seek(have * 8)
            missing = read(have, rows)
            if missing.shape != (rows - have,):
                raise ValueError(f"{name} has shape {missing.shape}, not {(rows - have,)}")
            file.write(np.ascontiguousarray(missing, np.uint64).tobytes())
            file.flush()
            os.fsync(file.fileno())

        with self._cache.grown(path, rows * 8, grow) as file:
            return np.memmap(file, np.uint64, "r", shape=(rows,))

    def derived_names(self, project_id: int, matrix: FeatureMatrix) -> list[str]:
        """The names under which something was derived from the project's features, by their encoder."""
        prefix = self._derived_prefix(project_id, matrix)
        return sorted(path.name.removeprefix(prefix) for path in self._derived_folder.glob(f"{prefix}*"))

    @property
    def _derived_folder(self) -> Path:
        return self._folder / "derived"

    def _derived_prefix(self, project_id: int, matrix: FeatureMatrix) -> str:
        return f"{self._origin}-{project_id}-{(matrix.digest or '')[:16]}-"

    def _forget_others(self, project_id: int, path: Path) -> None:
        for other in path.parent.glob(f"{self._origin}-{project_id}-*"):
            if other != path:
                other.unlink(missing_ok=True)  # of an encoder that was replaced, or of fewer items

    def _append(self, file: BinaryIO, shards: list[FeatureShard], dtype: np.dtype[Any], dim: int) -> None:
        row_bytes = dim * dtype.itemsize
        have = file.seek(0, os.SEEK_END) // row_bytes
        file.truncate(have * row_bytes)  # a writer that died may have left part of a row
        file.seek(have * row_bytes)
        for shard in shards:
            if shard.stop <= have:
                continue
            array = np.load(io.BytesIO(self._storage.get_bytes(shard.path)), allow_pickle=False)
            if array.shape != (shard.stop - shard.start, dim):
                raise ValueError(f"the feature shard {shard.path} has shape {array.shape}")
            file.write(np.ascontiguousarray(array[max(0, have - shard.start) :], dtype).tobytes())
            have = shard.stop
        file.flush()
        os.fsync(file.fileno())
