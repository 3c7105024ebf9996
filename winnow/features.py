"""The feature store: one matrix for each project and encoder, computed once, memory-mapped.

The truth is a row and a file for each shard. What is mapped is a local file that the shards were appended to, one row
for each item number; it is made again from the shards wherever it is missing.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard
from winnow.settings import Settings
from winnow.storage import Storage

Features = npt.NDArray[np.floating[Any]]


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
        session.execute(delete(FeatureShard).where(FeatureShard.project_id == encoder.project_id))
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
        path = self._folder / f"{project_id}-{encoder.digest[:16]}-{encoder.created_at.timestamp():.6f}.{encoder.dtype}"
        row_bytes = dim * dtype.itemsize
        if not path.exists() or path.stat().st_size < rows * row_bytes:
            with _locked(path) as file:
                self._append(file, shards, dtype, dim)
        self._forget_others(project_id, path)
        return FeatureMatrix(np.memmap(path, dtype, "r", shape=(rows, dim)), rows, encoder.digest)

    def _forget_others(self, project_id: int, path: Path) -> None:
        for other in self._folder.glob(f"{project_id}-*"):
            if other != path:
                other.unlink(missing_ok=True)  # of an encoder that was replaced

    def _append(self, file: BinaryIO, shards: list[FeatureShard], dtype: np.dtype[Any], dim: int) -> None:
        row_bytes = dim * dtype.itemsize
        have = file.seek(0, os.SEEK_END) // row_bytes
        file.truncate(have * row_bytes)  # a writer that died may have left part of a row
        file.seek(have * row_bytes)
        for shard in shards:
            if shard.stop <= have:
                continue
            with self._storage.open(shard.path) as source:
                array = np.load(source, allow_pickle=False)
            if array.shape != (shard.stop - shard.start, dim):
                raise ValueError(f"the feature shard {shard.path} has shape {array.shape}")
            file.write(np.ascontiguousarray(array[max(0, have - shard.start) :], dtype).tobytes())
            have = shard.stop
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """``path`` for appending, by one process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
