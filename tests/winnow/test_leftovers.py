"""Files that processes left when they died: what no row points to goes, all else stays."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import Any

import pytest

from tests.winnow.pools import Pool
from winnow import attempt_files, jobs, leftovers
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard, Job, Student
from winnow.features import set_encoder
from winnow.settings import Settings
from winnow.storage import Storage

NOW = timedelta(seconds=-1)


@pytest.fixture
def project(database: Database, settings: Settings) -> int:
    return Pool.make(database, settings).project_id


def make_job(database: Database, project: int, state: str, **values: Any) -> int:
    with database.write() as session:
        job = Job(kind="round", project_id=project, payload={}, state=state, attempt=2, worker="elsewhere:1")
        job.finished_at = utcnow() - timedelta(minutes=5) if state != "running" else None
        for name, value in values.items():
            setattr(job, name, value)
        session.add(job)
        session.flush()
        return job.id


def put(storage: Storage, project: int, job: int) -> dict[tuple[str, int], str]:
    """A file of each purpose and attempt, by both."""
    paths = {}
    for purpose in ("students", "exports", "encoders", "features", "scratch"):
        for attempt in (1, 2):
            folder = attempt_files.folder(project, purpose, job, attempt)  # type: ignore[arg-type]
            paths[purpose, attempt] = f"{folder}/0-3.npy"
            storage.put_bytes(b"x", paths[purpose, attempt])
    return paths


def encoder(project: int, path: str, digest: str = "d") -> Encoder:
    return Encoder(
        project_id=project, name="hashed", version="1", digest=digest, dim=2, dtype="float16", path=path, details={}
    )


def point_to(database: Database, project: int, paths: dict[tuple[str, int], str]) -> None:
    """A student of the second attempt, an encoder and a shard of the first, which died after it had published them."""
    with database.write() as session:
        session.add(encoder(project, paths["encoders", 1].rpartition("/")[0]))
        session.add(FeatureShard(project_id=project, start=0, stop=3, path=paths["features", 1]))
        session.add(
            Student(
                project_id=project,
                version=1,
                round=1,
                family="hashed",
                path=paths["students", 2].rpartition("/")[0],
                labels=3,
                metrics={},
                recipe={},
            )
        )


def test_what_rows_point_to_stays_whichever_attempt_made_it(database: Database, storage: Storage, project: int) -> None:
    job = make_job(database, project, "succeeded")
    paths = put(storage, project, job)
    point_to(database, project, paths)
    leftovers.sweep(database, storage)
    kept = [paths["encoders", 1], paths["exports", 2], paths["features", 1], paths["students", 2]]
    assert storage.list() == sorted(kept)


def test_a_failed_job_leaves_what_it_published_on_its_way(database: Database, storage: Storage, project: int) -> None:
    paths = put(storage, project, make_job(database, project, "failed"))
    point_to(database, project, {**paths, ("students", 2): "projects/0/students/0-0/0-3.npy"})
    leftovers.sweep(database, storage)
    assert storage.list() == sorted([paths["encoders", 1], paths["features", 1]])


def test_jobs_that_go_on_or_have_just_ended_are_left_alone(database: Database, storage: Storage, project: int) -> None:
    put(storage, project, make_job(database, project, "running"))
    put(storage, project, make_job(database, project, "succeeded", finished_at=utcnow()))
    assert leftovers.sweep(database, storage) == []
    assert len(storage.list()) == 20


def test_jobs_that_nobody_worked_on_when_they_ended_are_swept_as_well(
    database: Database, storage: Storage, settings: Settings, project: int
) -> None:
    waiting = {"state": "running", "worker": None, "lease_until": None}
    canceled = make_job(database, project, **waiting, kind="export")
    died_too_often = make_job(database, project, **waiting, kind="export", deaths=settings.max_attempts)
    for job in (canceled, died_too_often):
        put(storage, project, job)
    with database.write() as session:
        jobs.cancel(session, canceled)
        assert jobs.claim(session, died_too_often, "elsewhere:1", settings) is None
    leftovers.sweep(database, storage, settle=NOW)
    assert storage.list() == []


def test_a_job_is_swept_once(database: Database, storage: Storage, project: int) -> None:
    job = make_job(database, project, "succeeded")
    put(storage, project, job)
    assert len(leftovers.sweep(database, storage)) == 9
    put(storage, project, job)
    assert leftovers.sweep(database, storage) == []


def test_what_an_encoder_left_is_swept_once_it_is_replaced(database: Database, storage: Storage, project: int) -> None:
    job = make_job(database, project, "succeeded")
    paths = put(storage, project, job)
    point_to(database, project, paths)
    leftovers.sweep(database, storage)
    with database.write() as session:
        set_encoder(session, encoder(project, "projects/1/encoders/99-1", digest="another"))
    leftovers.sweep(database, storage)
    assert storage.list() == sorted([paths["exports", 2], paths["students", 2]])


def test_old_uploads_without_an_import_are_swept(database: Database, storage: Storage, project: int) -> None:
    old = f"incoming/{project}/{int(time.time()) - 4000}-ab12"
    wanted, ended = f"{old}01", f"{old}02"
    fresh = leftovers.upload_path(project)
    for path in (old, wanted, ended, fresh):
        storage.put_bytes(b"x", path)
    with database.write() as session:
        jobs.create_job(session, "import", project, {"path": wanted})
        jobs.cancel(session, jobs.create_job(session, "import", project, {"path": ended}).id)
    assert sorted(leftovers.sweep(database, storage)) == sorted([old, ended])
    assert sorted(storage.list()) == sorted([wanted, fresh])


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_half_written_files_are_swept_when_nobody_writes_to_them(database: Database, storage: Storage) -> None:
    storage.put_bytes(b"x", "projects/1/a")
    assert storage.folder is not None
    halves = [storage.folder / "projects/1" / f".part-{n}" for n in range(2)]
    for half in halves:
        half.write_bytes(b"x")
    os.utime(halves[0], (0, time.time() - 4000))
    assert leftovers.sweep(database, storage) == [str(halves[0])]
    assert [half.exists() for half in halves] == [False, True]
    assert storage.list() == ["projects/1/a"]
