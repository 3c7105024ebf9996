"""Killing a part, starting again what nobody else starts, and how long it takes until the service goes on."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Kill:
    """One kill: seconds until the service went on (None: it did not), and whether it hit work."""

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
        until a round or an import that lost its process is taken up again, or, where none did, any job is.
        """
        time.sleep(self._rng.uniform(0.1, 1.5))
        return self._kill_and_label(part) if part in ("api", "database") else self._kill_and_work(part)

    def _kill_and_label(self, part: str) -> Kill:
        self._aim()
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
                return Kill(time.perf_counter() - killed, True)
        return Kill(None, True)

    def _aim(self) -> None:
        """Every second time at labels that are on their way: between a commit and its answer lies a millisecond."""
        deadline = time.perf_counter() + 2.0
        if self._rng.random() < 0.5:
            while not self._work.record.on_the_way and time.perf_counter() < deadline:
                time.sleep(0.0005)
            time.sleep(self._rng.uniform(0.0, 0.02))

    def _kill_and_work(self, part: str) -> Kill:
        deadline = time.perf_counter() + _WORK_SECONDS
        while not (before := self._jobs()).running and time.perf_counter() < deadline:
            time.sleep(_POLL_SECONDS)
        time.sleep(self._rng.uniform(0.0, 0.3))
        before = self._jobs()
        killed = time.perf_counter()
        if part == "broker":
            return self._kill_broker(before, killed)
        hit = self._strike(part, before)
        watched = {job for job in hit if before.running[job].kind in _FIRST}
        while time.perf_counter() - killed < PATIENCE_SECONDS:
            if self._goes_on(before, watched):
                return Kill(time.perf_counter() - killed, bool(hit))
            time.sleep(_POLL_SECONDS)
        return Kill(None, bool(hit))

    def _kill_broker(self, before: _Jobs, killed: float) -> Kill:
        """Work may go on before the broker is back; so somebody else looks meanwhile."""
        went_on: list[float] = []

        def look() -> None:
            while time.perf_counter() - killed < PATIENCE_SECONDS:
                if self._goes_on(before, set()):
                    went_on.append(time.perf_counter() - killed)
                    return
                time.sleep(_POLL_SECONDS)

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

    def _strike(self, part: str, before: _Jobs) -> set[int]:
        """Kill; returns the jobs that lost their process."""
        worker = self._deployment.server.part("worker")
        if part == "worker":
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            return set(before.running)
        children = _living_children(worker)
        name = f"{node_name()}:{worker.pid}:"
        by = {held.worker: job for job, held in before.running.items()}
        busy = {child.pid: by[f"{name}{child.pid}"] for child in children if f"{name}{child.pid}" in by}
        chosen = self._rng.choice(sorted(busy) or sorted(child.pid for child in children) or [0])
        if chosen:
            with suppress(ProcessLookupError):
                os.kill(chosen, signal.SIGKILL)
        return {busy[chosen]} if chosen in busy else set()

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
