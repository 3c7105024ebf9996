"""The loop of a worker's process: all that waits is done, whoever said so."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from sqlalchemy import update

from tests.worker.service import Service
from winnow import jobs
from winnow.db.base import utcnow
from winnow.db.tables import Job
from winnow.jobs import Interrupted, JobContext
from worker import loop
from worker.base import Body, Runtime, run_job
from worker.flags import Bell
from worker.loop import JobLoop


def ask(service: Service, kind: str = "export") -> int:
    project = service.make_project() if kind == "round" else None
    with service.database.write() as session:
        return jobs.create_job(session, kind, project).id


def job(service: Service, job_id: int) -> Job:
    with service.database.read() as session:
        return jobs.get_job(session, job_id)


def finish(runtime: Runtime, context: JobContext) -> None:
    with runtime.database.write() as session:
        context.finish(session, {})


def bodies(body: Body) -> dict[str, Body]:
    return dict.fromkeys(("round", "import", "encode", "export"), body)


def test_one_message_is_enough_for_all_that_waits_and_rounds_go_first(service: Service) -> None:
    ids = [ask(service) for _ in range(3)]
    with service.database.write() as session:
        ids.append(jobs.create_job(session, "round", None).id)
    done: list[tuple[str, str]] = []
    loop = JobLoop(service.runtime, bodies(finish).__getitem__, on_done=lambda kind, how: done.append((kind, how)))
    assert loop.tell(30)
    assert done == [("round", "succeeded"), *[("export", "succeeded")] * 3]
    assert {job(service, job_id).state for job_id in ids} == {"succeeded"}
    assert loop.tell(30), "nothing to do is soon done"


def test_a_message_is_let_go_while_the_work_goes_on(service: Service) -> None:
    gate = threading.Event()

    def wait(runtime: Runtime, context: JobContext) -> None:
        gate.wait(30)
        finish(runtime, context)

    job_id = ask(service)
    loop = JobLoop(service.runtime, bodies(wait).__getitem__)
    assert not loop.tell(0.05)
    gate.set()
    assert loop.tell(30)
    assert job(service, job_id).attempt == 1


def test_the_bell_is_as_good_as_a_message(service: Service) -> None:
    bell, ended = Bell(), threading.Event()
    loop = JobLoop(service.runtime, bodies(finish).__getitem__, bell=bell, on_done=lambda *_: ended.set())
    loop.start()
    loop.start()
    job_id = ask(service)
    assert not ended.wait(0.3), "nobody has called"
    for _ in range(257):  # its count starts again at 256
        bell.ring()
    assert ended.wait(30)
    assert loop.tell(30)
    assert job(service, job_id).attempt == 1


def test_work_that_is_interrupted_is_taken_up_again_and_faults_end_nothing(service: Service) -> None:
    attempts: list[int] = []

    def work(runtime: Runtime, context: JobContext) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise Interrupted
        finish(runtime, context)

    runtimes = iter([None, service.runtime()])

    def make() -> Runtime:
        runtime = next(runtimes)
        if runtime is None:
            raise OSError("the storage is away")
        return runtime

    job_id = ask(service)
    loop = JobLoop(make, bodies(work).__getitem__)
    assert loop.tell(30)
    assert job(service, job_id).state == "queued"
    assert loop.tell(30)
    assert (job(service, job_id).state, attempts) == ("succeeded", [1, 2])


def test_a_worker_that_stops_begins_nothing(service: Service) -> None:
    job_id = ask(service)
    loop = JobLoop(lambda: service.runtime(stopping=lambda: True), bodies(finish).__getitem__)
    assert loop.tell(30)
    assert job(service, job_id).state == "queued"


def test_a_round_that_another_had_and_lost_is_done_before_what_makes_way_for_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_id, import_id = ask(service, "round"), ask(service, "import")
    done: list[tuple[str, str]] = []
    elsewhere = "elsewhere:7"

    def run_after_another_was_faster(runtime: Runtime, kind: str, job_id: int, body: Body) -> str:
        if not done:
            with service.database.write() as session:
                assert jobs.claim(session, round_id, elsewhere, service.settings) is not None
        return run_job(runtime, kind, job_id, body)

    def work(runtime: Runtime, context: JobContext) -> None:
        if context.kind == "import" and context.attempt == 1:  # the other dies meanwhile, and its round waits again
            with service.database.write() as session:
                assert jobs.release_worker(session, elsewhere) == [round_id]
                session.execute(update(Job).values(created_at=utcnow() - timedelta(seconds=1)))
            context.pause_point()
        finish(runtime, context)

    def note(kind: str, outcome: str) -> None:
        done.append((kind, outcome))
        if len(done) > 20:
            raise AssertionError(f"it turns in circles: {done}")

    monkeypatch.setattr(loop, "run_job", run_after_another_was_faster)
    assert JobLoop(service.runtime, bodies(work).__getitem__, on_done=note).tell(30)
    assert done == [
        ("round", "not waiting"),
        ("import", "interrupted"),
        ("import", "deferred"),
        ("round", "succeeded"),
        ("import", "succeeded"),
    ]
    assert (job(service, round_id).state, job(service, import_id).state) == ("succeeded", "succeeded")
