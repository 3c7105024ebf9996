"""kill -9 of a real worker at any moment: one correct result in the end, within seconds."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerContext, ForkServerProcess

import psutil
import pytest
from sqlalchemy import func, select

from tests.worker.service import Service, text_of
from winnow import jobs, rounds
from winnow.db.tables import Item, Job, LedgerEntry, Project, QueueEntry, Round, Student, WorkerSeen
from winnow.hints import make_sender

pytestmark = [pytest.mark.kill, pytest.mark.slow]

CODE = """
import sys
from winnow.settings import Settings
from worker.main import run_worker
sys.exit(run_worker(Settings()))
"""
#: SIGTERM comes in the last moment before a worker becomes another one.
CODE_OF_THE_LAST_MOMENT = f"""
import os, signal
execv = os.execv
def execute(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    execv(*arguments)
os.execv = execute
{CODE}"""
SECONDS = 90


def become(environment: dict[str, str], code: str) -> None:
    """Run ``code`` as ``python -c`` would, in a process that has loaded what a round loads: that takes it seconds."""
    os.environ.update(environment)
    sys.orig_argv = [sys.executable, "-c", code]  # what a worker starts afresh with
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


@pytest.fixture(scope="module")
def loaded() -> ForkServerContext:
    """Makes processes from one that has loaded what jobs load."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.worker.loaded"])
    return context


class Worker:
    """A worker process that can be started again and again."""

    def __init__(self, service: Service, loaded: ForkServerContext) -> None:
        self._service = service
        self._loaded = loaded
        self.process: ForkServerProcess | None = None

    def start(self, code: str = CODE) -> None:
        settings = self._service.settings
        own = {name: value for name, value in os.environ.items() if name.startswith("WINNOW_")}  # a test may set some
        environment = {**own, "WINNOW_DATA": str(settings.data), "WINNOW_DATABASE_URL": settings.resolved_database_url}
        self.process = self._loaded.Process(target=become, args=(environment, code))
        self.process.start()

    def children(self) -> list[psutil.Process]:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """SIGKILL to the worker alone; its children have to notice."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        self.process.join()
        _, alive = psutil.wait_procs(children, 10)
        assert alive == [], "a child outlived its worker"

    def stop(self) -> int | None:
        assert self.process is not None
        self.process.terminate()
        return self.ended(20)

    def ended(self, seconds: float) -> int | None:
        """The exit code, at the latest after so many seconds; none while it runs."""
        assert self.process is not None
        self.process.join(seconds)
        return self.process.exitcode


@pytest.fixture
def worker(service: Service, loaded: ForkServerContext) -> Iterator[Worker]:
    made = Worker(service, loaded)
    service.database.send_hint = make_sender(service.settings.resolved_broker_url)
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.join()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def job_of(service: Service, job_id: int) -> Job:
    with service.database.read() as session:
        return jobs.get_job(session, job_id)


def count(service: Service, table: type) -> int:
    with service.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def ended(service: Service, job_id: int) -> bool:
    return job_of(service, job_id).state not in ("queued", "running")


def idle(service: Service) -> bool:
    """Whether everything was done: the encoding, and the cold start after it."""
    return all(ended(service, job.id) for kind in ("encode", "round") for job in service.jobs(kind))


def ask_for_a_round(service: Service, project: int) -> int:
    with service.database.write() as session:
        return rounds.request_round(session, session.get_one(Project, project), forced=True).id


def test_a_round_that_is_killed_again_and_again(service: Service, worker: Worker) -> None:
    rng = random.Random(20)
    project = service.make_project(400, batch_size=1000, cold_retrain=False)
    worker.start()
    wait_until(lambda: idle(service), "the items are encoded")
    service.label(project, 30)
    done = ask_for_a_round(service, project)
    wait_until(lambda: ended(service, done), "a round, for its time")
    seconds = (job_of(service, done).finished_at - job_of(service, done).started_at).total_seconds()  # type: ignore[operator]
    for trial in range(4):
        job_id = ask_for_a_round(service, project)
        moment = time.monotonic() + rng.uniform(0.05, 1.2 * seconds)
        wait_until(lambda: time.monotonic() > moment or ended(service, job_id), "the moment")  # noqa: B023
        worker.kill()
        worker.start()
        wait_until(lambda: ended(service, job_id), "the round")  # noqa: B023
        job = job_of(service, job_id)
        assert job.state == "succeeded", job.error
        assert job.result is not None
        assert job.result["round"] == job.result["student"] == trial + 2
    assert count(service, Round) == count(service, Student) == 5
    with service.database.read() as session:
        assert {entry.round for entry in session.scalars(select(QueueEntry))} == {5}
        trained = session.scalars(select(Round.job_id)).all()
        costs = select(LedgerEntry.job_id).where(LedgerEntry.job_id.in_(trained))
        assert sorted(session.scalars(costs)) == sorted(trained)
    folders = {path.split("/")[3] for path in service.storage.list(f"projects/{project}/students")}
    assert len(folders) == 5, "files of attempts that died are swept away"


def test_an_import_that_is_killed_again_and_again(service: Service, worker: Worker) -> None:
    rng = random.Random(21)
    project = service.make_project()
    rows = 6_000
    lines = [json.dumps({"text": f"{text_of(n)} {n}", "key": str(n)}) for n in range(rows)]
    lines[100] = "{broken"
    lines[4_000] = lines[3_999]
    service.storage.put_bytes("\n".join(lines).encode(), "uploads/pool.jsonl")
    worker.start()
    with service.database.write() as session:
        payload = {"path": "uploads/pool.jsonl", "filename": "pool.jsonl"}
        job_id = jobs.create_job(session, "import", project, payload, service.user_id).id
    for _ in range(3):
        at = job_of(service, job_id).progress + rng.uniform(0.01, 0.25)
        wait_until(lambda: job_of(service, job_id).progress > at or ended(service, job_id), "progress")  # noqa: B023
        worker.kill()
        worker.start()
    wait_until(lambda: ended(service, job_id), "the import")
    job = job_of(service, job_id)
    assert job.state == "succeeded", job.error
    assert job.result is not None
    assert (job.result["created"], job.result["duplicates"], job.result["rejected"]) == (rows - 2, 1, 1)
    assert [error["line"] for error in job.result["errors"]] == [101]
    with service.database.read() as session:
        numbers = sorted(session.scalars(select(Item.number).where(Item.project_id == project)))
    assert numbers == list(range(rows - 2))


def test_a_child_that_is_killed_is_replaced(service: Service, worker: Worker) -> None:
    project = service.make_project(300, batch_size=1000)
    worker.start()
    wait_until(lambda: idle(service), "the items are encoded")
    service.label(project, 30)
    job_id = ask_for_a_round(service, project)
    wait_until(lambda: job_of(service, job_id).progress > 0, "the round has begun")
    [child] = worker.children()
    child.kill()
    wait_until(lambda: ended(service, job_id), "the round")
    job = job_of(service, job_id)
    assert job.state == "succeeded", job.error
    assert jobs.to_dict(job)["attempt"] == 2
    assert count(service, Round) == 1


def test_a_child_that_is_killed_while_it_waits_for_work_is_missed_by_nobody(service: Service, worker: Worker) -> None:
    project = service.make_project(50, batch_size=1000)
    worker.start()
    wait_until(lambda: bool(service.jobs("encode")) and idle(service), "all is done")
    for _ in range(2):
        before = {child.pid for child in worker.children()}
        for child in worker.children():
            child.kill()
        wait_until(lambda: bool({child.pid for child in worker.children()} - before), "another child")  # noqa: B023
        job_id = ask_for_a_round(service, project)
        wait_until(lambda: ended(service, job_id), "the next job")  # noqa: B023
        assert job_of(service, job_id).state == "succeeded"


def test_sigterm_gives_the_job_back_and_says_goodbye(service: Service, worker: Worker) -> None:
    project = service.make_project(300, batch_size=1000)
    worker.start()
    wait_until(lambda: count(service, WorkerSeen) == 1, "the worker is seen")
    wait_until(lambda: idle(service), "the items are encoded")
    service.label(project, 30)
    job_id = ask_for_a_round(service, project)
    wait_until(lambda: job_of(service, job_id).progress > 0, "the round has begun")
    assert worker.stop() == 0
    job = job_of(service, job_id)
    assert job.state in ("running", "succeeded")
    assert job.lease_until is None
    assert job.deaths == 0
    assert count(service, WorkerSeen) == 0
    worker.start()
    wait_until(lambda: ended(service, job_id), "the round")
    assert job_of(service, job_id).state == "succeeded"
    assert count(service, Round) == 1


def test_sigterm_in_the_moment_of_a_fresh_start_is_not_lost(service: Service, worker: Worker) -> None:
    worker.start(CODE_OF_THE_LAST_MOMENT)
    wait_until(lambda: count(service, WorkerSeen) == 1 and bool(worker.children()), "the worker is there")
    assert worker.process is not None
    for child in worker.children():
        child.kill()
    assert worker.ended(SECONDS) == 0
    assert count(service, WorkerSeen) == 0
