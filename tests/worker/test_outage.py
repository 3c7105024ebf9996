"""A job whose database goes away under it: nothing is lost, nothing is done twice, and it is no death."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from tests.wire import Wire, wired
from tests.worker.service import Service
from winnow import attempt_files, jobs
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.jobs import JobContext
from worker.base import Runtime, run_job
from worker.reaper import Reaper

pytestmark = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
NOBODY = "elsewhere:1"


@pytest.fixture
def wire(service: Service) -> Iterator[Wire]:
    with wired(service.database.url) as (wire, _):
        yield wire


@pytest.fixture
def runtime(service: Service, wire: Wire) -> Iterator[Runtime]:
    """A worker process whose database is at the other end of the wire."""
    url = service.database.url.rpartition("@")
    database = Database(f"{url[0]}@127.0.0.1:{wire.port}/{url[2].rpartition('/')[2]}")
    yield replace(service.runtime(), database=database)
    database.dispose()


def ask(service: Service, kind: str = "export") -> int:
    with service.database.write() as session:
        return jobs.create_job(session, kind, service.make_project() if kind == "round" else None).id


def read(service: Service, job_id: int) -> Job:
    with service.database.read() as session:
        return jobs.get_job(session, job_id)


def finish(runtime: Runtime, context: JobContext) -> None:
    with runtime.database.write() as session:
        context.finish(session, {"attempt": context.attempt})


def meanwhile(what: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=what, daemon=True)
    thread.start()
    return thread


def test_work_that_was_cut_off_goes_on_when_the_database_is_back(
    service: Service, runtime: Runtime, wire: Wire
) -> None:
    job_id = ask(service)

    def cut_off(runtime: Runtime, context: JobContext) -> None:
        wire.cut()
        meanwhile(lambda: (time.sleep(0.3), wire.mend()))  # type: ignore[arg-type,func-returns-value]
        finish(runtime, context)

    for attempt in range(1, service.settings.max_attempts + 2):  # more often than anybody may die
        assert run_job(runtime, "export", job_id, cut_off) == "cut off"
        job = read(service, job_id)
        assert (job.state, job.attempt, job.lease_until, job.deaths) == ("running", attempt, None, 0)
    assert run_job(runtime, "export", job_id, finish) == "succeeded"


def test_long_work_does_not_notice_that_the_database_was_away(service: Service, runtime: Runtime, wire: Wire) -> None:
    job_id = ask(service)

    def work(runtime: Runtime, context: JobContext) -> None:
        wire.cut()
        for looks in ("_looked_at", "_told_at", "_yield_at"):
            setattr(context, looks, float("-inf"))
        context.pause_point()
        context.progress(0.5)
        wire.mend()
        finish(runtime, context)

    assert run_job(runtime, "export", job_id, work) == "succeeded"


def test_a_result_whose_commit_was_never_answered_stands_with_its_files(
    service: Service, runtime: Runtime, wire: Wire
) -> None:
    project = service.make_project()
    with service.database.write() as session:
        job_id = jobs.create_job(session, "export", project).id

    def publish(runtime: Runtime, context: JobContext) -> None:
        folder = attempt_files.folder(project, "exports", context.job_id, context.attempt)
        runtime.storage.put_bytes(b"x", f"{folder}/bundle.zip")
        wire.swallow_answers_to_commits()
        finish(runtime, context)

    assert run_job(runtime, "export", job_id, publish) == "succeeded"
    assert wire.lost_answers == 1
    assert read(service, job_id).result == {"attempt": 1}
    assert service.storage.list() == [f"projects/{project}/exports/{job_id}-1/bundle.zip"]


def test_a_claim_whose_commit_was_never_answered_is_given_back_and_claimed(
    service: Service, runtime: Runtime, wire: Wire
) -> None:
    job_id = ask(service)
    wire.swallow_answers_to_commits()
    assert run_job(runtime, "export", job_id, finish) == "succeeded"
    assert wire.lost_answers == 1
    job = read(service, job_id)
    assert (job.result, job.deaths) == ({"attempt": 2}, 0)


def test_nobody_is_thought_dead_because_the_database_was_away(service: Service, wire: Wire, runtime: Runtime) -> None:
    job_id = ask(service)
    with service.database.write() as session:
        assert jobs.claim(session, job_id, NOBODY, service.settings) is not None
    quick = service.settings.model_copy(update={"reaper_seconds": 0.05, "heartbeat_seconds": 0.5})
    failed, looked = threading.Event(), threading.Event()
    reaper = Reaper(runtime.database, quick, looked.set, on_look=failed.set)
    wire.cut()
    reaper.start()
    assert failed.wait(30)  # it has tried
    with service.database.write() as session:
        session.execute(update(Job).values(lease_until=utcnow()))
    wire.mend()
    deadline = time.monotonic() + 30
    mended = time.monotonic()
    while (job := read(service, job_id)).lease_until is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    reaper.stop()
    assert job.lease_until is None, "who does not renew it in time has died after all"
    assert time.monotonic() - mended > 0.4
