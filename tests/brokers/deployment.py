"""Workers and a database around one broker, each as it would be on a machine of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from winnow import jobs
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.hints import BULK_QUEUE, ROUNDS_QUEUE, make_app, make_sender
from winnow.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
_LAUNCH = ROOT / "cli" / "launch.py"
_WORK = (sys.executable, "-m", "tests.brokers.work")
CALM_SECONDS = 0.5


def wait_until(condition: Callable[[], object], what: str, seconds: float = SECONDS) -> float:
    """Wait for ``condition``; returns how long it took, in seconds."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - began


class Worker:
    """A ``winnow worker`` with a data folder of its own."""

    def __init__(self, environment: dict[str, str], folder: Path, concurrency: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.concurrency = concurrency
        self.log = folder / "worker.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # It dies with the tests, however they end.
                [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *_WORK, str(concurrency)],
                env={**os.environ, **environment, "WINNOW_DATA": str(folder)},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def terminate(self) -> tuple[int, float]:
        """SIGTERM; returns its exit code and how long it took, in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30), time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL; its children go with it."""
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children()
            self.process.kill()
            self.process.wait()
            with suppress(psutil.NoSuchProcess):
                psutil.wait_procs(children, 10)


class Deployment:
    """One broker, one database, and as many workers as a test starts."""

    def __init__(self, kind: str, broker_url: str, database: Database, database_url: str, folder: Path) -> None:
        self.kind = kind
        self.broker_url = broker_url
        self.database = database
        self.folder = folder
        self.settings = Settings(data=folder / "api", broker_url=broker_url, database_url=database_url)
        self.environment = {
            "WINNOW_BROKER_URL": broker_url,
            "WINNOW_DATABASE_URL": database_url,
            "WINNOW_STORAGE_URL": (folder / "storage").as_uri(),
        }
        self.workers: list[Worker] = []
        self.asked: list[int] = []
        self._gates: list[Path] = []
        self.ran_on: list[str] = []
        database.send_hint = make_sender(broker_url)

    def start(self, concurrency: int = 1, **environment: str) -> Worker:
        """Start one more worker."""
        folder = self.folder / f"worker{len(self.workers)}"
        self.workers.append(Worker({**self.environment, **environment}, folder, concurrency))
        return self.workers[-1]

    def alive(self) -> list[Worker]:
        """The workers that have not ended."""
        return [worker for worker in self.workers if worker.process.poll() is None]

    def idle(self, n: int) -> None:
        """Have ``n`` processes work at the same time, once, and wait until they, and the broker, have nothing to do."""
        gate = self.gate()
        ids = [self.ask("export", gate=str(gate)) for _ in range(n)]
        self.running(*ids)
        gate.touch()
        self.ended(*ids)
        wait_until(lambda: self.messages() == 0, "no message is left")

    def gate(self) -> Path:
        """A file that is not there: jobs that wait for it run until a test makes it."""
        self._gates.append(self.folder / f"gate-{time.monotonic_ns()}")
        return self._gates[-1]

    def open_gates(self) -> None:
        """Let all jobs end that a failed test has left behind."""
        for gate in self._gates:
            gate.touch()
        self._gates.clear()

    def worker_of(self, job_id: int) -> Worker:
        """Who does a running job."""
        name = f"{self.job(job_id).worker}".rpartition(":")[0]
        return next(worker for worker in self.workers if name.endswith(f":{worker.process.pid}"))

    def process_of(self, job_id: int) -> int:
        """The id of the process that does a running job."""
        return int(f"{self.job(job_id).worker}".rpartition(":")[2])

    def calm(self, *but: int) -> None:
        """Wait until no process of a worker, ``but`` these, does anything: after a job each looks for more work."""
        found = [child for worker in self.alive() for child in psutil.Process(worker.process.pid).children()]
        idle = [process for process in found if process.pid not in but]
        spent, since = -1.0, time.monotonic()

        def still() -> bool:
            nonlocal spent, since
            now = sum(sum(process.cpu_times()[:2]) for process in idle)
            if now != spent:
                spent, since = now, time.monotonic()
            return time.monotonic() - since > CALM_SECONDS

        wait_until(still, "nothing is done any more")

    def ask(self, kind: str = "import", **payload: Any) -> int:
        """Ask for work; returns the id of the job."""
        with self.database.write() as session:
            return jobs.create_job(session, kind, None, payload).id

    def ask_quietly(self, kind: str = "import", **payload: Any) -> int:
        """Ask for work, and lose the message."""
        sender, self.database.send_hint = self.database.send_hint, None
        try:
            return self.ask(kind, **payload)
        finally:
            self.database.send_hint = sender

    def remind(self, *job_ids: int) -> None:
        """Send a message for each of these jobs again, one for each process: all are busy, so none is answered soon.

        Each process holds one message at most, and those that it holds were sent before whatever is asked for next.
        """
        assert self.database.send_hint is not None
        for job_id in job_ids:
            self.database.send_hint("import", job_id)

    def job(self, job_id: int) -> Job:
        """The job as it stands."""
        with self.database.read() as session:
            return jobs.get_job(session, job_id)

    def states(self, *job_ids: int) -> set[str]:
        """The states that the jobs are in; one that made way counts as queued."""
        with self.database.read() as session:
            found = session.execute(select(Job.state, Job.lease_until).where(Job.id.in_(job_ids))).all()
        return {"queued" if state == "running" and lease is None else state for state, lease in found}

    def running(self, *job_ids: int) -> float:
        """Wait until all the jobs run at once; returns for how long, in seconds."""
        return wait_until(lambda: self.states(*job_ids) == {"running"}, f"jobs {job_ids} run")

    def ended(self, *job_ids: int) -> list[Job]:
        """Wait until the jobs have succeeded, and give them."""
        wait_until(lambda: not self.states(*job_ids) & {"queued", "running"}, f"jobs {job_ids} end")
        done = [self.job(job_id) for job_id in job_ids]
        assert {job.state for job in done} == {"succeeded"}, [job.error for job in done]
        return done

    def messages(self) -> int:
        """How many messages wait at the broker, for whoever comes."""
        with self.queues() as queues:
            return sum(queue.queue_declare().message_count for queue in queues)

    def purge(self) -> None:
        """Lose all messages."""
        with self.queues() as queues:
            for queue in queues:
                queue.declare()
                queue.purge()

    def check_alone(self) -> None:
        """Nobody else takes messages here, as what another package of tests left running would."""
        with self.queues() as queues:
            others = sum(queue.queue_declare().consumer_count for queue in queues)
        assert others == 0, f"{others} others take messages from {self.broker_url}"

    @contextmanager
    def queues(self) -> Iterator[list[Any]]:
        """Both queues, over a connection of their own."""
        app = make_app(self.broker_url)
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=0)
            yield [app.amqp.queues[name].bind(connection.default_channel) for name in (ROUNDS_QUEUE, BULK_QUEUE)]
