"""What every task stands on: a process's connections, and the way a job is claimed, kept alive, measured and ended."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

import structlog
from sqlalchemy.orm import Session

from models.errors import ModelError
from sampler.errors import SamplerError
from winnow import jobs, leftovers
from winnow.db.clock import database_time
from winnow.db.outage import outage_of, outages_ignored
from winnow.db.session import Database
from winnow.db.tables import Job, Project
from winnow.errors import Invalid, LostJob, StorageUnavailable, WinnowError
from winnow.hints import make_sender
from winnow.jobs import Interrupted, JobContext
from winnow.ledger import CostMeter, record_cost
from winnow.settings import Settings
from winnow.storage import Storage, project_prefix
from winnow.workers import worker_name

log = structlog.get_logger(__name__)

LONGEST_PAUSE_SECONDS = 1.0
Answer = TypeVar("Answer")


@dataclass
class Runtime:
    """One process's own connections, and what it keeps between jobs (``kept``: loaded encoders)."""

    settings: Settings
    database: Database
    storage: Storage
    worker: str
    stopping: Callable[[], bool] = lambda: False
    kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(
        cls, settings: Settings, *, parent: int | None = None, stopping: Callable[[], bool] | None = None
    ) -> Runtime:
        """Connect this process; ``parent`` is the worker's process id where this one is its child."""
        database = Database(settings.resolved_database_url, pool_size=4)
        database.send_hint = make_sender(settings.resolved_broker_url)
        name = worker_name(parent, os.getpid()) if parent else worker_name()
        storage = Storage.of(settings)
        return cls(settings, database, storage, name, stopping or (lambda: False))


#: Does the work of one attempt and ends with ``context.finish``. What it raises decides what becomes of the job.
Body = Callable[[Runtime, JobContext], None]


def run_job(runtime: Runtime, kind: str, job_id: int, body: Body) -> str:
    """Claim the job and do it; returns what became of it. Nothing happens when it does not wait to be done."""
    if runtime.stopping():
        return "stopping"
    tries = count()
    job = when_it_answers(runtime, lambda session: _claimed(runtime, session, kind, job_id, again=next(tries) > 0))
    if job is None or isinstance(job, str):
        return job or "stopping"
    context = JobContext(runtime.database, job, runtime.settings, runtime.stopping)
    with structlog.contextvars.bound_contextvars(job=job_id, kind=kind, attempt=job.attempt, project=job.project_id):
        with Heartbeat(context):
            outcome = _measured(runtime, context, body)
        log.info("job.ended", outcome=outcome)
    _give_memory_back(runtime, kind, outcome)
    return outcome


def _claimed(runtime: Runtime, session: Session, kind: str, job_id: int, *, again: bool) -> Job | str:
    """The job, taken for a new attempt; or why not. ``again``: an earlier claim may hold, whose answer never came."""
    if again:
        jobs.release_worker(session, runtime.worker, died=False)
    if kind != "round" and jobs.round_waits(session, database_time(session)):
        return "deferred"
    return jobs.claim(session, job_id, runtime.worker, runtime.settings, kind) or "not waiting"


def when_it_answers(runtime: Runtime, step: Callable[[Session], Answer]) -> Answer | None:
    """``step`` in a transaction of its own; while the database is away, again and again. None when told to stop.

    A commit may have held although its answer never came: ``step`` has to bear being done twice.
    """
    pause = 0.1
    while True:
        try:
            with runtime.database.write() as session:
                return step(session)
        except Exception as error:
            if outage_of(error) is None:
                raise
            log.warning("worker.database", error=str(error).partition("\n")[0])
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        if runtime.stopping():
            return None


def _give_memory_back(runtime: Runtime, kind: str, outcome: str) -> None:
    """Return what the work needed to the system: 250 MB after the encoder of texts, which the allocator would keep."""
    if kind == "encode" and outcome == "succeeded":
        runtime.kept.clear()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def _measured(runtime: Runtime, context: JobContext, body: Body) -> str:
    with CostMeter() as meter:
        context.costs = lambda: meter.cost(context.flops).priced(runtime.settings)
        context.at_end = lambda session: _record(runtime, context, meter, session)
        outcome, problem = _attempt(runtime, context, body)
    if context.finished:
        _sweep(runtime, context, published=True)
        return outcome
    outcome = _end(runtime, context, meter, outcome, problem)
    if outcome == "succeeded":
        _sweep(runtime, context, published=True)
    elif problem is not None or outcome == "lost":
        _sweep(runtime, context, published=False)
    return outcome


def _end(runtime: Runtime, context: JobContext, meter: CostMeter, outcome: str, problem: dict[str, Any] | None) -> str:
    """Write down an attempt that ended without a result, as far as anybody knows; returns what became of it."""
    mine = (context.job_id, context.attempt)

    def end(session: Session) -> None:
        if session.get(Job, context.job_id) is None:
            raise LostJob("The project was purged.")
        _record(runtime, context, meter, session)
        if problem is not None:
            jobs.fail(session, *mine, problem)
        elif outcome == "interrupted":
            jobs.release(session, *mine, "made way; it goes on soon")
        elif outcome in ("cut off", "overloaded"):
            jobs.release(session, *mine, "the database did not answer; it goes on soon", died=outcome == "overloaded")

    try:
        when_it_answers(runtime, end)
    except LostJob:
        if when_it_answers(runtime, lambda session: jobs.has_published(session, *mine)):
            return "succeeded"  # the commit held, and only its answer was lost
        context.lost = True
        return "lost"
    return outcome


def _attempt(runtime: Runtime, context: JobContext, body: Body) -> tuple[str, dict[str, Any] | None]:
    """Do the work; returns the outcome, and the problem where there is one that another attempt would meet again."""
    try:
        body(runtime, context)
    except Interrupted:
        return "interrupted", None
    except LostJob:
        return "lost", None
    except StorageUnavailable as error:
        return _wait_for_storage(context, error)
    except WinnowError as error:
        return "failed", jobs.problem_of(error)
    except (ModelError, SamplerError) as error:
        return "failed", jobs.problem_of(Invalid(str(error)))
    except Exception as error:
        outage = outage_of(error)
        if outage is not None:
            log.warning("job.database", error=str(error).partition("\n")[0])
            return ("cut off" if outage == "away" else "overloaded"), None
        if context.should_stop():
            log.info("job.stopped", error=str(error))
            return ("lost" if context.lost else "interrupted"), None
        log.exception("job.failed")
        return "failed", jobs.internal_problem(error)
    if context.finished:
        return "succeeded", None
    return ("lost" if context.lost else "interrupted"), None


def _wait_for_storage(context: JobContext, error: StorageUnavailable) -> tuple[str, dict[str, Any] | None]:
    """Leave the job: its lease runs out, and another attempt follows. The last one fails, with the reason."""
    log.warning("job.storage", error=error.reason)
    if context.deaths + 1 >= context.settings.max_attempts:
        return "failed", jobs.problem_of(error)
    with outages_ignored(), context.database.write() as session:
        jobs.heartbeat(
            session, context.job_id, context.attempt, context.settings, message="the storage does not answer; it waits"
        )
    return "left", None


def _record(runtime: Runtime, context: JobContext, meter: CostMeter, session: Any) -> None:
    record_cost(
        session,
        meter.cost(context.flops),
        runtime.settings,
        kind=context.kind,
        project_id=context.project_id,
        job_id=context.job_id,
        attempt=context.attempt,
    )


def _sweep(runtime: Runtime, context: JobContext, *, published: bool) -> None:
    """Delete what the job left behind; what cannot be done now, the reaper does later."""
    if context.project_id is None:
        return
    purged = False
    if context.lost and not published:
        with outages_ignored(), runtime.database.write() as session:  # if whoever overtook it has ended already
            jobs.mark_swept(session, [context.job_id], swept=False)
            purged = session.get(Project, context.project_id) is None
        if not purged:
            return
    try:
        if purged:  # while this attempt wrote its files: nobody else will ever look for them
            runtime.storage.delete(project_prefix(context.project_id))
        else:
            leftovers.sweep_job(runtime.database, runtime.storage, context.job_id)
    except Exception as error:
        if not isinstance(error, (OSError, StorageUnavailable)) and outage_of(error) is None:
            raise
        log.warning("job.not_swept", error=str(error).partition("\n")[0])


class Heartbeat:
    """Says from a thread, while it is entered, that an attempt lives; notes in the context when it was overtaken."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="winnow-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        context = self._context
        while not self._over.wait(context.settings.heartbeat_seconds):
            try:
                with context.database.write() as session:
                    if self._over.is_set():
                        return
                    alive = jobs.heartbeat(session, context.job_id, context.attempt, context.settings)
            except Exception as error:
                log.warning("job.heartbeat", error=str(error).partition("\n")[0])
                continue
            if not alive:
                context.lost = not context.finished
                return
