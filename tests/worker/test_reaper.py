"""The reaper: work that nobody does is found."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.worker.service import Service
from winnow import attempt_files, jobs, workers
from winnow.db.base import utcnow
from winnow.db.tables import Job, Project
from worker.reaper import Reaper


@pytest.fixture
def called() -> list[bool]:
    return []


@pytest.fixture
def reaper(service: Service, called: list[bool]) -> Reaper:
    return Reaper(service.database, service.settings, lambda: called.append(True))


def ask(service: Service, kind: str = "export") -> int:
    with service.database.write() as session:
        return jobs.create_job(session, kind, None).id


def claim(service: Service, job_id: int, worker: str) -> None:
    with service.database.write() as session:
        assert jobs.claim(session, job_id, worker, service.settings) is not None


def test_work_that_nobody_begins_is_called_out_at_each_look(
    service: Service, reaper: Reaper, called: list[bool]
) -> None:
    assert (reaper.run_once(), called) == ([], [])
    job_id = ask(service)
    assert reaper.run_once() == [job_id]
    assert reaper.run_once() == [job_id]
    assert called == [True, True]
    claim(service, job_id, workers.worker_name())
    assert (reaper.run_once(), called) == ([], [True, True])


def test_work_without_a_live_lease_waits_again(service: Service, reaper: Reaper, called: list[bool]) -> None:
    expired, died, lives = ask(service), ask(service), ask(service)
    dead = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(dead, 0)
    claim(service, expired, "elsewhere:1")
    claim(service, died, workers.worker_name(child=dead))
    claim(service, lives, workers.worker_name())
    with service.database.write() as session:
        session.execute(update(Job).where(Job.id == expired).values(lease_until=utcnow() - timedelta(seconds=1)))
    assert reaper.run_once() == [expired, died]
    assert called == [True]


def test_the_thread_survives_faults_and_can_be_hurried(service: Service, called: list[bool]) -> None:
    ask(service)
    looks: list[int] = []

    def on_look() -> None:
        looks.append(1)
        raise RuntimeError("the database is away")

    patient = service.settings.model_copy(update={"reaper_seconds": 600.0})
    reaper = Reaper(service.database, patient, lambda: called.append(True), on_look=on_look)
    reaper.start()
    deadline = time.monotonic() + 20
    for n in (1, 2, 3):
        while len(looks) < n and time.monotonic() < deadline:
            time.sleep(0.01)
        reaper.hurry()
    reaper.stop()
    assert len(looks) >= 3
    assert len(called) == len(looks)


def test_what_is_not_needed_any_more_is_cleared_away(service: Service, reaper: Reaper) -> None:
    kept, gone = service.make_project(3), service.make_project(3)
    with service.database.write() as session:
        session.get_one(Project, gone).archived_at = utcnow() - timedelta(days=31)
        session.get_one(Project, kept).archived_at = utcnow() - timedelta(days=29)
        job = jobs.create_job(session, "export", kept)
        job.attempt, job.state, job.finished_at = 2, "canceled", utcnow() - timedelta(hours=1)
        job.worker = "elsewhere:1"  # which died before it could sweep
    for project in (kept, gone):
        service.storage.put_bytes(b"x", f"projects/{project}/features/9-1/0-3.npy")
    service.storage.put_bytes(b"x", f"{attempt_files.folder(kept, 'exports', job.id, 1)}/bundle.zip")
    service.storage.put_bytes(b"x", f"{attempt_files.folder(kept, 'scratch', job.id, 2)}/teacher.npz")
    reaper.clear(service.storage)
    assert service.storage.list() == [f"projects/{kept}/features/9-1/0-3.npy"]
    with service.database.read() as session:
        assert session.get(Project, gone) is None
        assert session.get(Project, kept) is not None
