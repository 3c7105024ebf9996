"""The reaper: work that nobody does is found."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.worker.service import Service
from winnow import attempt_files, jobs, workers
from winnow.db.base import utcnow
from winnow.db.clock import database_time
from winnow.db.session import Database
from winnow.db.tables import Job, Project
from winnow.forking import no_fork
from winnow.storage import Storage
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


def test_a_machine_that_slept_takes_no_job_from_those_who_slept_with_it(
    service: Service, called: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = service.settings.model_copy(update={"heartbeat_seconds": 0.5})
    reaper = Reaper(service.database, settings, lambda: called.append(True))
    sleeps, dead = ask(service), ask(service)
    claim(service, sleeps, "elsewhere:1")
    claim(service, dead, "elsewhere:2")
    assert reaper.run_once() == []
    asleep = timedelta(seconds=settings.job_lease_seconds + 2)
    monkeypatch.setattr("worker.reaper.database_time", lambda session: database_time(session) + asleep)
    assert reaper.run_once() == []
    with service.database.write() as session:  # the heartbeat of the one that woke up
        session.execute(update(Job).where(Job.id == sleeps).values(lease_until=utcnow() + 2 * asleep))
    deadline = time.monotonic() + 20
    while not (found := reaper.run_once()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == [dead]
    with service.database.read() as session:
        assert [jobs.get_job(session, job_id).deaths for job_id in (sleeps, dead)] == [0, 1]


def test_clearing_away_keeps_nobody_waiting(
    service: Service, called: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    began, over, looked = threading.Event(), threading.Event(), threading.Semaphore(0)

    def slow_sweep(database: Database, storage: Storage) -> list[str]:
        began.set()
        assert over.wait(60)
        return []

    def fork() -> None:
        with no_fork():
            forked.set()

    monkeypatch.setattr("worker.reaper.PURGE_SECONDS", -1.0)
    monkeypatch.setattr("worker.reaper.leftovers.sweep", slow_sweep)
    quick = service.settings.model_copy(update={"reaper_seconds": 0.01})
    reaper = Reaper(
        service.database, quick, lambda: called.append(True), storage=service.storage, on_look=looked.release
    )
    reaper.start()
    try:
        assert began.wait(20)
        for _ in range(3):
            assert looked.acquire(timeout=20), "it looks on"
        ask(service)
        assert [looked.acquire(timeout=20) for _ in range(3)] == [True] * 3
        assert called, "it calls for work"
        forked = threading.Event()
        threading.Thread(target=fork, daemon=True).start()
        assert forked.wait(20), "processes start"
        clearing = [thread for thread in threading.enumerate() if thread.name == "winnow-clearing"]
        assert len(clearing) == 1
        reaper.stop()
    finally:
        over.set()
    clearing[0].join(20)
    assert not clearing[0].is_alive()


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
