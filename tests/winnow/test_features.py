"""The feature store: shards in, one memory-mapped matrix out."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from winnow import features
from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard, Project
from winnow.features import FeatureStore
from winnow.local_cache import LocalCache
from winnow.settings import Settings
from winnow.storage import Storage

DIM = 3


@pytest.fixture
def project(database: Database) -> int:
    with database.write() as session:
        made = Project(name="p", task="text", labels=[], settings={}, order_key="00")
        session.add(made)
        session.flush()
        features.set_encoder(session, encoder(made.id))
        return made.id


def encoder(project: int, digest: str = "d" * 64, dtype: str = "float16") -> Encoder:
    return Encoder(
        project_id=project, name="hashed", version="1", digest=digest, dim=DIM, dtype=dtype, path="e", details={}
    )


@pytest.fixture
def store(database: Database, storage: Storage, settings: Settings) -> FeatureStore:
    return FeatureStore(database, storage, settings)


def rows(start: int, stop: int) -> NDArray[np.float16]:
    return np.arange(start * DIM, stop * DIM, dtype=np.float16).reshape(-1, DIM)


def add(database: Database, store: FeatureStore, project: int, start: int, stop: int) -> None:
    path = f"projects/{project}/features/1-1/{start}-{stop}.npy"
    store.put_shard(rows(start, stop), path)
    with database.write() as session:
        store.add_shard(session, FeatureShard(project_id=project, start=start, stop=stop, path=path))


def test_the_matrix_grows_with_its_shards(database: Database, store: FeatureStore, project: int) -> None:
    assert store.matrix(project).covered == 0
    add(database, store, project, 0, 4)
    first = store.matrix(project)
    assert isinstance(first.array, np.memmap)
    np.testing.assert_array_equal(first.array, rows(0, 4))
    add(database, store, project, 4, 5)
    add(database, store, project, 5, 9)
    second = store.matrix(project)
    assert (second.covered, second.array.dtype, second.array.shape) == (9, np.float16, (9, DIM))
    np.testing.assert_array_equal(second.array, rows(0, 9))
    np.testing.assert_array_equal(first.array, rows(0, 4))


def test_without_an_encoder_there_is_nothing(store: FeatureStore) -> None:
    nothing = store.matrix(99)
    assert (nothing.covered, nothing.digest, nothing.array.shape) == (0, None, (0, 0))


def test_a_shard_must_follow_the_last_one(database: Database, store: FeatureStore, project: int) -> None:
    add(database, store, project, 0, 4)
    for start, stop in ((0, 4), (3, 6), (5, 6), (4, 4)):
        with pytest.raises(ValueError, match="cannot follow 4 rows"):
            add(database, store, project, start, stop)


def test_what_a_writer_that_died_left_is_repaired(
    database: Database, store: FeatureStore, project: int, settings: Settings
) -> None:
    add(database, store, project, 0, 4)
    store.matrix(project)
    [file] = (settings.cache_folder / "features").iterdir()
    with file.open("ab") as end:
        end.write(rows(4, 5).tobytes() + b"\1\2\3")  # one whole row of the next shard, and half of another
    add(database, store, project, 4, 8)
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 8))
    file.unlink()
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 8))


def test_another_encoder_begins_afresh(
    database: Database, store: FeatureStore, project: int, settings: Settings
) -> None:
    add(database, store, project, 0, 4)
    store.matrix(project)
    with database.write() as session:
        features.set_encoder(session, encoder(project, "e" * 64, "float32"))
        assert session.scalars(select(FeatureShard)).all() == []
        assert features.covered(session, project) == 0
    add(database, store, project, 0, 2)
    matrix = store.matrix(project)
    assert (matrix.covered, matrix.digest, matrix.array.dtype) == (2, "e" * 64, np.float32)
    assert len(list((settings.cache_folder / "features").iterdir())) == 1


def test_a_cache_of_an_older_database_is_not_believed(database: Database, store: FeatureStore, project: int) -> None:
    add(database, store, project, 0, 4)
    store.matrix(project)
    with database.write() as session:  # the same ids and the same encoder, made at another time
        row = session.get_one(Encoder, project)
        row.created_at += timedelta(seconds=1)
        session.delete(session.scalars(select(FeatureShard)).one())
    path = "projects/1/features/9-1/0-4.npy"
    store.put_shard(-rows(0, 4), path)
    with database.write() as session:
        store.add_shard(session, FeatureShard(project_id=project, start=0, stop=4, path=path))
    np.testing.assert_array_equal(store.matrix(project).array, -rows(0, 4))


def test_a_copy_with_files_of_its_own_does_not_read_this_ones_cache(
    database: Database, store: FeatureStore, project: int, settings: Settings, tmp_path: Path
) -> None:
    add(database, store, project, 0, 4)
    store.matrix(project)
    elsewhere = Storage((tmp_path / "elsewhere").as_uri(), settings.cache_folder)
    with database.read() as session:
        path = session.scalars(select(FeatureShard)).one().path
    other = FeatureStore(database, elsewhere, settings)
    other.put_shard(-rows(0, 4), path)
    np.testing.assert_array_equal(other.matrix(project).array, -rows(0, 4))
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 4))


def files(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.cache_folder / "features").iterdir())


def test_a_matrix_that_is_larger_than_the_bound_works_and_is_not_kept(
    database: Database, storage: Storage, settings: Settings, project: int
) -> None:
    small = settings.model_copy(update={"cache_bytes": 20})
    store = FeatureStore(database, storage, small)
    add(database, store, project, 0, 3)  # 18 bytes
    kept = store.matrix(project)
    assert len(files(small)) == 1
    add(database, store, project, 3, 5)
    grown = store.matrix(project)
    assert files(small) == []
    np.testing.assert_array_equal(kept.array, rows(0, 3))
    np.testing.assert_array_equal(grown.array, rows(0, 5))
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 5))
    assert sum(entry.bytes for entry in LocalCache(small.cache_folder).entries()) == 0


def test_a_matrix_that_lost_its_end_or_its_folder_is_made_again(
    database: Database, store: FeatureStore, project: int, settings: Settings
) -> None:
    add(database, store, project, 0, 6)
    store.matrix(project)
    [file] = (settings.cache_folder / "features").iterdir()
    for left in (0, 7, 12):
        os.truncate(file, left)
        np.testing.assert_array_equal(store.matrix(project).array, rows(0, 6))
    shutil.rmtree(settings.cache_folder)
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 6))


def test_what_is_derived_is_computed_once_and_replaced_under_another_name(
    database: Database, store: FeatureStore, project: int, settings: Settings
) -> None:
    add(database, store, project, 0, 4)
    matrix = store.matrix(project)
    computed: list[str] = []

    def derive(name: str, factor: int) -> NDArray[np.floating]:
        def make() -> NDArray[np.float16]:
            computed.append(name)
            return matrix.array * factor

        return store.derived(project, matrix, name, 4, make)

    first = derive("4-a", 2)
    assert isinstance(first, np.memmap)
    np.testing.assert_array_equal(first, rows(0, 4) * 2)
    np.testing.assert_array_equal(derive("4-a", 3), rows(0, 4) * 2)
    assert (computed, store.derived_names(project, matrix)) == (["4-a"], ["4-a"])
    np.testing.assert_array_equal(derive("4-b", 3), rows(0, 4) * 3)
    assert store.derived_names(project, matrix) == ["4-b"]
    np.testing.assert_array_equal(first, rows(0, 4) * 2)  # what is mapped stays
    shutil.rmtree(settings.cache_folder / "features")
    np.testing.assert_array_equal(derive("4-b", 5), rows(0, 4) * 5)
    np.testing.assert_array_equal(store.matrix(project).array, rows(0, 4))


def test_what_is_derived_is_of_one_encoder_and_one_project(
    database: Database, store: FeatureStore, project: int
) -> None:
    add(database, store, project, 0, 4)
    matrix = store.matrix(project)
    store.derived(project, matrix, "4-a", 4, lambda: matrix.array)
    other = replace(matrix, digest="e" * 64)
    assert store.derived_names(project, other) == []
    assert store.derived_names(project + 1, matrix) == []


def test_something_derived_that_is_not_as_large_as_said_is_refused(
    database: Database, store: FeatureStore, project: int
) -> None:
    add(database, store, project, 0, 4)
    matrix = store.matrix(project)
    with pytest.raises(ValueError, match=r"4-a has shape \(3, 3\), not \(4, 3\)"):
        store.derived(project, matrix, "4-a", 4, lambda: matrix.array[:3])
    assert store.derived_names(project, matrix) == []


def test_a_column_is_read_once_and_from_where_it_ended(store: FeatureStore, project: int, settings: Settings) -> None:
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> NDArray[np.uint64]:
        asked.append((start, stop))
        return np.arange(start, stop, dtype=np.uint64) * 3 + 2**63

    whole = np.arange(9, dtype=np.uint64) * 3 + 2**63
    for rows_, file_bytes in ((0, 0), (4, 32), (9, 72), (9, 72), (5, 72)):
        np.testing.assert_array_equal(store.column(project, "c", rows_, read), whole[:rows_])
        assert sum(entry.bytes for entry in LocalCache(settings.cache_folder).entries()) == file_bytes
    assert asked == [(0, 4), (4, 9)]
    [file] = (settings.cache_folder / "features" / "columns").iterdir()
    os.truncate(file, 19)  # a writer died
    np.testing.assert_array_equal(store.column(project, "c", 9, read), whole)
    assert asked[2:] == [(2, 9)]
    store.column(project + 1, "c", 2, read)
    store.column(project, "d", 2, read)
    assert asked[3:] == [(0, 2), (0, 2)]
    with pytest.raises(ValueError, match=r"e has shape \(2,\), not \(3,\)"):
        store.column(project, "e", 3, lambda start, stop: whole[:2])
