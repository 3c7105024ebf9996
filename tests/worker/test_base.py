"""What becomes of a job: whatever its work does, its row says so, and twice is once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg.errors
import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from models.errors import MissingExtra
from tests.worker.service import Service
from winnow import attempt_files, jobs
from winnow.db.tables import Job, LedgerEntry
from winnow.errors import Invalid
from winnow.jobs import Interrupted, JobContext
from worker.base import Runtime, run_job

Do = Callable[[Runtime, JobContext], None]


def ask(service: Service, kind: str = "import", project_id: int | None = None) -> int:
    with service.database.write() as session:
        return jobs.create_job(session, kind, project_id).id


def read(service: Service, job_id: int) -> Job:
    with service.database.read() as session:
        return jobs.get_job(session, job_id)


def finish(runtime: Runtime, context: JobContext) -> None:
    context.flops = 5.0
    with runtime.database.write() as session:
        context.finish(session, {"attempt": context.attempt})


def fails(error: Exception) -> Do:
    def do(runtime: Runtime, context: JobContext) -> None:
        raise error

    return do


def test_a_job_is_done_once_however_often_it_is_hinted_at(service: Service) -> None:
    job_id = ask(service)
    assert run_job(service.runtime(), "import", job_id, finish) == "succeeded"
    assert run_job(service.runtime(), "import", job_id, finish) == "not waiting"
    assert run_job(service.runtime(), "import", 99_999, finish) == "not waiting"
    assert read(service, job_id).result == {"attempt": 1}
    with service.database.read() as session:
        [entry] = session.scalars(select(LedgerEntry)).all()
    assert (entry.job_id, entry.attempt, entry.kind, entry.flops) == (job_id, 1, "import", 5.0)


def test_a_message_under_the_wrong_task_does_nothing(service: Service) -> None:
    job_id = ask(service)
    assert run_job(service.runtime(), "export", job_id, finish) == "not waiting"
    assert read(service, job_id).state == "queued"


def test_a_fault_of_the_user_fails_the_job_with_its_problem(service: Service) -> None:
    job_id = ask(service)
    assert run_job(service.runtime(), "import", job_id, fails(Invalid("The file has no rows."))) == "failed"
    job = read(service, job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error["status"], job.error["detail"]) == (422, "The file has no rows.")

    missing = ask(service)
    run_job(service.runtime(), "import", missing, fails(MissingExtra("The encoder 'minilm'", "minilm")))
    error = read(service, missing).error
    assert error is not None
    assert ".[minilm]" in error["detail"]


def test_a_bug_fails_the_job_at_once_and_tells_nothing_of_its_insides(service: Service) -> None:
    job_id = ask(service)
    assert run_job(service.runtime(), "import", job_id, fails(ZeroDivisionError("secret"))) == "failed"
    job = read(service, job_id)
    assert job.error is not None
    assert job.error["status"] == 500
    assert "secret" not in str(job.error)
    assert job.attempt == 1


def test_what_is_interrupted_waits_again(service: Service) -> None:
    job_id = ask(service)
    assert run_job(service.runtime(), "import", job_id, fails(Interrupted("a round"))) == "interrupted"
    assert run_job(service.runtime(), "import", job_id, lambda runtime, context: None) == "interrupted"
    assert run_job(service.runtime(), "import", job_id, finish) == "succeeded"
    job = read(service, job_id)
    assert (job.result, job.deaths) == ({"attempt": 3}, 0)


def test_a_statement_that_took_too_long_is_tried_again_but_not_for_ever(service: Service) -> None:
    job_id = ask(service)
    too_long = OperationalError("x", {}, psycopg.errors.QueryCanceled())
    for deaths in range(1, service.settings.max_attempts + 1):
        assert run_job(service.runtime(), "import", job_id, fails(too_long)) == "overloaded"
        job = read(service, job_id)
        assert (job.state, job.lease_until, job.deaths) == ("running", None, deaths)
    assert run_job(service.runtime(), "import", job_id, finish) == "not waiting"
    assert read(service, job_id).state == "failed"


def test_what_was_canceled_meanwhile_publishes_nothing(service: Service) -> None:
    job_id = ask(service)

    def canceled(runtime: Runtime, context: JobContext) -> None:
        with runtime.database.write() as session:
            jobs.cancel(session, context.job_id)
        finish(runtime, context)

    assert run_job(service.runtime(), "import", job_id, canceled) == "lost"
    job = read(service, job_id)
    assert (job.state, job.result, job.error) == ("canceled", None, None)


def test_a_worker_that_stops_takes_nothing_up_and_gives_back_what_it_has(service: Service) -> None:
    job_id = ask(service)
    stopping = service.runtime(stopping=lambda: True)
    assert run_job(stopping, "import", job_id, finish) == "stopping"

    def works(runtime: Runtime, context: JobContext) -> None:
        told.append(True)
        context.pause_point()

    told: list[bool] = []
    runtime = service.runtime(stopping=lambda: bool(told))
    assert run_job(runtime, "import", job_id, works) == "interrupted"
    assert read(service, job_id).deaths == 0


def test_bulk_work_is_not_begun_while_a_round_waits(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project = service.make_project()
    bulk, round_id = ask(service, "export", project), ask(service, "round", project)
    monkeypatch.setattr(jobs, "YIELD_AFTER", -jobs.YIELD_AFTER)
    assert run_job(service.runtime(), "export", bulk, finish) == "deferred"
    assert run_job(service.runtime(), "round", round_id, finish) == "succeeded"
    assert run_job(service.runtime(), "export", bulk, finish) == "succeeded"


def test_heartbeats_keep_the_lease_and_notice_when_the_job_was_lost(service: Service) -> None:
    quick = service.settings.model_copy(update={"heartbeat_seconds": 0.02, "job_lease_seconds": 60.0})
    service.settings = quick
    job_id = ask(service)

    def works(runtime: Runtime, context: JobContext) -> None:
        first = read(service, job_id).lease_until
        assert first is not None
        while (read(service, job_id).lease_until or first) == first:
            pass
        with runtime.database.write() as session:
            jobs.release_worker(session, "elsewhere:1")
            assert jobs.claim(session, job_id, "elsewhere:2", quick) is not None
        while not context.lost:
            pass
        finish(runtime, context)

    assert run_job(service.runtime(), "import", job_id, works) == "lost"
    job = read(service, job_id)
    assert (job.state, job.worker, job.attempt) == ("running", "elsewhere:2", 2)


def test_files_of_attempts_that_published_nothing_are_swept_away(service: Service, tmp_path: Path) -> None:
    project = service.make_project()
    job_id = ask(service, "export", project)

    def store(runtime: Runtime, context: JobContext, *, die: bool) -> None:
        for purpose in ("exports", "scratch"):
            folder = attempt_files.folder(project, purpose, context.job_id, context.attempt)
            runtime.storage.put_bytes(b"x", f"{folder}/f")
        if die:
            with runtime.database.write() as session:
                jobs.release_worker(session, "elsewhere:1")
            raise Interrupted
        finish(runtime, context)

    run_job(service.runtime(), "export", job_id, lambda r, c: store(r, c, die=True))
    assert len(service.storage.list()) == 2
    run_job(service.runtime(), "export", job_id, lambda r, c: store(r, c, die=False))
    assert service.storage.list() == [f"projects/{project}/exports/{job_id}-2/f"]
