"""Killing or stopping a part, starting again what nobody else starts, and how long it takes until all goes on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

import psutil
from sqlalchemy import func, select

from bench.scenarios.kills.deployments import Deployment
from bench.scenarios.kills.record import PATIENCE_SECONDS
from bench.scenarios.kills.work import Work
from winnow.db.outage import outage_of
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.workers import node_name

_POLL_SECONDS = 0.01
#: So long a kill waits for work of its victim to be under way.
_WORK_SECONDS = 10.0
#: What goes before other work: an encoding that was cut off waits for its turn, and says nothing about the worker.
_FIRST = ("round", "import")
#: So long a process stands still, unless somebody else takes up its job earlier: it may stand within a transaction, and
#: nobody does while that holds a lock.
_STILL_SECONDS = 40.0


@dataclass(frozen=True)
class Kill:
    """One kill: seconds until the service went on (None: it did not), and whether it hit work.

    That is: labels on their way, for API and database; a job under way, for worker, child and broker; for a process
    that was stopped, a job that another took up meanwhile.
    """

    recovered: float | None
    hit: bool


@dataclass(frozen=True)
class _Held:
    kind: str
    attempt: int
    worker: str


@dataclass(frozen=True)
class _Jobs:
    """The running jobs, how often any job was claimed, and the attempts of those that are watched and go on."""

    running: dict[int, _Held]
    claims: int
    watched: dict[int, int]


class Killer:
    """Kills parts of a deployment, and waits until it goes on."""

    def __init__(self, deployment: Deployment, database: Database, work: Work, rng: random.Random) -> None:
        self._deployment = deployment
        self._database = database
        self._work = work
        self._rng = rng

    def kill(self, part: str) -> Kill:
        """Wait for a random moment, kill the part, and wait until the service goes on.

        API and database: until somebody has taken a batch and had an answer to their labels. Worker, child and broker:
        until a round or an import that lost its process is taken up again, or, where none did, any job is. A process
        that is ``stopped`` goes on once another has taken up its job: what it does then must count for nothing.
        """
        time.sleep(self._rng.uniform(0.1, 1.5))
        return self._kill_and_label(part) if part in ("api", "database") else self._kill_and_work(part)

    def _kill_and_label(self, part: str) -> Kill:
        self._aim()
        hit = self._work.record.on_the_way > 0
        killed = time.perf_counter()
        if part == "api":
            self._deployment.server.part("api").kill()
        else:
            self._bounce(self._deployment.database)
        over = threading.Event()
        deadline = killed + PATIENCE_SECONDS
        self._work.prober.unsure = False
        while time.perf_counter() < deadline:
            if self._work.prober.turn(over):
                return Kill(time.perf_counter() - killed, hit)
        return Kill(None, hit)

    def _aim(self) -> None:
        """Every second time at labels that are on their way: between a commit and its answer lies a millisecond."""
        deadline = time.perf_counter() + 2.0
        if self._rng.random() < 0.5:
            while not self._work.record.on_the_way and time.perf_counter() < deadline:
                time.sleep(0.0005)
            time.sleep(self._rng.uniform(0.0, 0.02))

    def _kill_and_work(self, part: str) -> Kill:
        kinds = _FIRST if part == "stopped" else ()
        self._wait_for_work(kinds)
        time.sleep(self._rng.uniform(0.0, 0.3))
        before = self._wait_for_work(kinds)
        killed = time.perf_counter()
        if part == "broker":
            return self._kill_broker(before, killed)
        if part == "stopped":
            return self._stop_a_child(before, killed)
        hit = self._kill_worker(before) if part == "worker" else self._kill_a_child(before)
        watched = {job for job in hit if before.running[job].kind in _FIRST}
        return Kill(self._until_it_goes_on(before, watched, killed), bool(hit))

    def _wait_for_work(self, kinds: Collection[str] = ()) -> _Jobs:
        """Until something runs, of one of these ``kinds`` where they are named."""
        deadline = time.perf_counter() + _WORK_SECONDS
        while True:
            now = self._jobs()
            if any(not kinds or held.kind in kinds for held in now.running.values()):
                return now
            if time.perf_counter() > deadline:
                return now
            time.sleep(_POLL_SECONDS)

    def _until_it_goes_on(
        self, before: _Jobs, watched: set[int], killed: float, seconds: float = PATIENCE_SECONDS
    ) -> float | None:
        while (passed := time.perf_counter() - killed) < seconds:
            if self._goes_on(before, watched):
                return passed
            time.sleep(_POLL_SECONDS)
        return None

    def _kill_broker(self, before: _Jobs, killed: float) -> Kill:
        """Work may go on before the broker is back; so somebody else looks meanwhile."""
        went_on: list[float] = []

        def look() -> None:
            passed = self._until_it_goes_on(before, set(), killed)
            went_on.extend([] if passed is None else [passed])

        looking = threading.Thread(target=look)
        looking.start()
        self._bounce(self._deployment.broker)
        looking.join()
        return Kill(went_on[0] if went_on else None, bool(before.running))

    def _goes_on(self, before: _Jobs, watched: set[int]) -> bool:
        now = self._jobs(watched)
        if any(attempt > before.running[job].attempt for job, attempt in now.watched.items()):
            return True
        return not now.watched and now.claims > before.claims

    def _kill_worker(self, before: _Jobs) -> set[int]:
        """Kill it with its children; returns the jobs that lost their process."""
        with suppress(ProcessLookupError):
            os.killpg(self._deployment.server.part("worker").pid, signal.SIGKILL)
        return set(before.running)

    def _kill_a_child(self, before: _Jobs) -> set[int]:
        chosen, job = self._choose_a_child(before)
        if chosen is not None:
            with suppress(psutil.NoSuchProcess):
                chosen.kill()
        return set() if job is None else {job}

    def _stop_a_child(self, before: _Jobs, killed: float) -> Kill:
        first = {job: held for job, held in before.running.items() if held.kind in _FIRST}
        chosen, job = self._choose_a_child(replace(before, running=first))
        watched = set() if job is None else {job}
        recovered: float | None = None
        with ExitStack() as stack:
            stack.enter_context(suppress(psutil.NoSuchProcess))
            if chosen is not None:
                chosen.suspend()
                stack.callback(chosen.resume)
            recovered = self._until_it_goes_on(before, watched, killed, _STILL_SECONDS)
        overtaken = job is not None and self._attempt_of(job) > before.running[job].attempt
        if recovered is None:
            recovered = self._until_it_goes_on(before, watched, killed)
        return Kill(recovered, overtaken)

    def _attempt_of(self, job: int) -> int:
        with self._database.read() as session:
            return session.scalar(select(Job.attempt).where(Job.id == job)) or 0

    def _choose_a_child(self, before: _Jobs) -> tuple[psutil.Process | None, int | None]:
        """One process of the worker, busy if any is, and the job that it does."""
        worker = self._deployment.server.part("worker")
        children = {f"{node_name()}:{worker.pid}:{child.pid}": child for child in _living_children(worker)}
        busy = {held.worker: job for job, held in before.running.items() if held.worker in children}
        if not children:
            return None, None
        chosen = self._rng.choice(sorted(busy) or sorted(children))
        return children[chosen], busy.get(chosen)

    def _bounce(self, server: object) -> None:
        from bench.servers.process import PrivateServer

        assert isinstance(server, PrivateServer)
        server.kill()
        server.start()

    def _jobs(self, watch: Collection[int] = ()) -> _Jobs:
        while True:
            try:
                with self._database.read() as session:
                    held = select(Job.id, Job.kind, Job.attempt, Job.worker).where(
                        Job.state == "running", Job.lease_until.is_not(None)
                    )
                    rows = session.execute(held)
                    running = {row.id: _Held(row.kind, row.attempt, row.worker or "") for row in rows}
                    active = select(Job.id, Job.attempt).where(Job.id.in_(watch), Job.finished_at.is_(None))
                    watched = {row.id: row.attempt for row in session.execute(active)} if watch else {}
                    claims = session.scalar(select(func.sum(Job.attempt))) or 0
                return _Jobs(running, claims, watched)
            except Exception as error:
                if outage_of(error) is None:
                    raise
            time.sleep(_POLL_SECONDS)


def _living_children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    return []
