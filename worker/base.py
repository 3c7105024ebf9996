"""What every task stands on: a process's connections, and the way a job is claimed, kept alive, measured and ended."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError

from models.errors import ModelError
from sampler.errors import SamplerError
from winnow import attempt_files, jobs
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.errors import Invalid, LostJob, WinnowError
from winnow.hints import make_sender
from winnow.jobs import Interrupted, JobContext
from winnow.ledger import CostMeter, record_cost
from winnow.settings import Settings
from winnow.storage import Storage
from winnow.workers import worker_name

log = structlog.get_logger(__name__)


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
        storage = Storage(settings.resolved_storage_url, settings.cache_folder)
        return cls(settings, database, storage, name, stopping or (lambda: False))


#: Does the work of one attempt and ends with ``context.finish``. What it raises decides what becomes of the job.
Body = Callable[[Runtime, JobContext], None]


def run_job(runtime: Runtime, kind: str, job_id: int, body: Body) -> str:
    """Claim the job and do it; returns what became of it. Nothing happens when it does not wait to be done."""
    if runtime.stopping():
        return "stopping"
    with runtime.database.write() as session:
        if kind != "round" and jobs.round_waits(session, utcnow()):
            jobs.mark_hinted(session, [job_id], None)
            return "deferred"
        job = jobs.claim(session, job_id, runtime.worker, runtime.settings, kind)
        if job is None:
            return "not waiting"
    context = JobContext(runtime.database, job, runtime.settings, runtime.stopping)
    with structlog.contextvars.bound_contextvars(job=job_id, kind=kind, attempt=job.attempt, project=job.project_id):
        with Heartbeat(context):
            outcome = _measured(runtime, context, body)
        log.info("job.ended", outcome=outcome)
    _give_memory_back(runtime, kind, outcome)
    return outcome


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
    try:
        with runtime.database.write() as session:
            _record(runtime, context, meter, session)
            if problem is not None:
                jobs.fail(session, context.job_id, context.attempt, problem)
            elif outcome == "interrupted":
                jobs.release(session, context.job_id, context.attempt, "made way; it goes on soon")
    except LostJob:
        outcome = "lost"
    if problem is not None or outcome == "lost":
        _sweep(runtime, context, published=False)
    return outcome


def _attempt(runtime: Runtime, context: JobContext, body: Body) -> tuple[str, dict[str, Any] | None]:
    """Do the work; returns the outcome, and the problem where there is one that another attempt would meet again."""
    try:
        body(runtime, context)
    except Interrupted:
        return "interrupted", None
    except LostJob:
        return "lost", None
    except WinnowError as error:
        return "failed", jobs.problem_of(error)
    except (ModelError, SamplerError) as error:
        return "failed", jobs.problem_of(Invalid(str(error)))
    except OperationalError as error:  # the database did not answer: the lease runs out, and another attempt follows
        log.warning("job.database", error=str(error))
        return "left", None
    except Exception as error:
        if context.should_stop():
            log.info("job.stopped", error=str(error))
            return ("lost" if context.lost else "interrupted"), None
        log.exception("job.failed")
        return "failed", jobs.internal_problem(error)
    if context.finished:
        return "succeeded", None
    return ("lost" if context.lost else "interrupted"), None


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
    if context.project_id is None or (context.lost and not published):
        return  # whoever overtook this attempt will sweep
    try:
        attempt_files.sweep(runtime.storage, context.project_id, context.job_id, context.attempt, published=published)
    except OSError as error:
        log.warning("job.not_swept", error=str(error))


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
                log.warning("job.heartbeat", error=str(error))
                continue
            if not alive:
                context.lost = not context.finished
                return
