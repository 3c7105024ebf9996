"""Jobs: rows that are the truth about work. A message only says "look at job 17".

A job is **waiting** when it is queued, or running without a lease (its worker died, stopped, or made way). Whoever
claims it gets a new attempt number, and every later write of that attempt is one statement with ``WHERE id AND attempt
AND state = 'running'``, in the transaction of its results. An attempt that was overtaken can publish nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, and_, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from winnow.db.clock import database_time
from winnow.db.outage import outages_ignored
from winnow.db.session import Database, after_commit, lock_project
from winnow.db.tables import Job
from winnow.errors import Conflict, LostJob, NotFound, WinnowError
from winnow.settings import Settings
from winnow.workers import is_gone

#: A round that waits for longer than this makes imports, encoding and exports step aside.
YIELD_AFTER = timedelta(seconds=0.2)

WAITING: ColumnElement[bool] = or_(Job.state == "queued", and_(Job.state == "running", Job.lease_until.is_(None)))
#: The worker of a job that ended: where it has none any more, attempts that died may have left files all the same.
_TO_BE_SWEPT = func.coalesce(Job.worker, "unswept")


def _no_other_round_runs() -> ColumnElement[bool]:
    other = aliased(Job)
    running = exists().where(
        other.project_id == Job.project_id, other.kind == "round", other.state == "running", other.id != Job.id
    )
    return or_(Job.kind != "round", ~running)


# Asking for work


def create_job(
    session: Session,
    kind: str,
    project_id: int | None,
    payload: dict[str, Any] | None = None,
    requested_by: int | None = None,
) -> Job:
    """A queued job; the workers hear of it once the transaction is committed."""
    job = Job(
        kind=kind,
        project_id=project_id,
        payload=payload or {},
        requested_by=requested_by,
        state="queued",
        created_at=database_time(session),
    )
    session.add(job)
    session.flush()
    hint(session, job.kind, job.id)
    return job


def hint(session: Session, kind: str, job_id: int) -> None:
    """Send a hint about the job after the commit, where the session's database has a sender."""
    send: Callable[[str, int], None] | None = session.info.get("send_hint")
    if send is not None:
        after_commit(session, lambda: send(kind, job_id))


def request_encode(session: Session, project_id: int) -> Job:
    """The encode job that will cover every item of the project: the active one, else a new one.

    One that runs ends, under the project's lock, only when it finds no item left.
    """
    lock_project(session, project_id)
    active = session.scalar(
        select(Job).where(Job.project_id == project_id, Job.kind == "encode", Job.state.in_(("queued", "running")))
    )
    return active or create_job(session, "encode", project_id)


def encode_runs(session: Session, project_id: int) -> bool:
    """Whether a worker encodes this project right now; a job that made way does not count."""
    running = select(Job.id).where(
        Job.project_id == project_id, Job.kind == "encode", Job.state == "running", Job.lease_until.is_not(None)
    )
    return session.scalar(running.limit(1)) is not None


def get_job(session: Session, job_id: int) -> Job:
    """The job; raises :class:`~winnow.errors.NotFound`."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise NotFound("There is no job with this id.")
    return job


def cancel(session: Session, job_id: int) -> Job:
    """Cancel a job that is queued or running; raises :class:`~winnow.errors.Conflict` when it has ended already.

    A running attempt finds out at its next heartbeat or fence, and publishes nothing from now on.
    """
    done = _change(
        session,
        [Job.id == job_id, Job.state.in_(("queued", "running"))],
        state="canceled",
        finished_at=database_time(session),
        lease_until=None,
        worker=_TO_BE_SWEPT,
        message="canceled",
    )
    job = get_job(session, job_id)
    if not done:
        if job.state == "canceled":
            return job
        raise Conflict(f"Job {job_id} has already {job.state}; there is nothing left to cancel.")
    _wake_others(session, job.kind, job.project_id)
    return job


# Doing work


def claim(session: Session, job_id: int, worker: str, settings: Settings, kind: str | None = None) -> Job | None:
    """Take a waiting job (of this ``kind``) for a new attempt.

    None when it does not wait, or another round of its project runs. A job whose workers died ``max_attempts`` times is
    failed instead.
    """
    now = database_time(session)
    it_waits = [Job.id == job_id, WAITING, *([Job.kind == kind] if kind else [])]
    if _change(
        session,
        [*it_waits, Job.deaths >= settings.max_attempts],
        state="failed",
        finished_at=now,
        lease_until=None,
        worker=_TO_BE_SWEPT,
        message="failed",
        error=_died_too_often(settings.max_attempts),
    ):
        job = get_job(session, job_id)
        _wake_others(session, job.kind, job.project_id)
        return None
    try:
        with session.begin_nested():
            taken = _change(
                session,
                [*it_waits, _no_other_round_runs()],
                state="running",
                attempt=Job.attempt + 1,
                worker=worker,
                lease_until=now + timedelta(seconds=settings.job_lease_seconds),
                started_at=func.coalesce(Job.started_at, now),
                message="",
            )
    except IntegrityError:  # two rounds of one project at the same moment: the index lets one through
        return None
    return get_job(session, job_id) if taken else None


def heartbeat(session: Session, job_id: int, attempt: int, settings: Settings, **changes: Any) -> bool:
    """Renew the lease of an attempt (and write ``changes``); False when it is not running any more.

    One that was given back waits for whoever claims it: with its lease renewed it would wait for nobody.
    """
    until = database_time(session) + timedelta(seconds=settings.job_lease_seconds)
    return _change(session, _alive(job_id, attempt), lease_until=until, **changes) == 1


def finish(session: Session, job_id: int, attempt: int, result: dict[str, Any]) -> None:
    """End an attempt with success; raises :class:`~winnow.errors.LostJob` unless it is still running."""
    _end(session, job_id, attempt, state="succeeded", result=result, progress=1.0, message="done")


def fail(session: Session, job_id: int, attempt: int, problem: dict[str, Any]) -> None:
    """End an attempt with a problem; raises :class:`~winnow.errors.LostJob` unless it is still running."""
    _end(session, job_id, attempt, state="failed", error=problem, message="failed")


def release(session: Session, job_id: int, attempt: int, message: str, *, died: bool = False) -> None:
    """Give a running job back to be taken up again from its checkpoint; no death, unless it ``died``."""
    deaths = Job.deaths + int(died)
    if not _change(session, _mine(job_id, attempt), lease_until=None, worker=None, message=message, deaths=deaths):
        raise LostJob(f"Attempt {attempt} of job {job_id} is not running any more.")
    job = get_job(session, job_id)
    hint(session, job.kind, job.id)


def has_published(session: Session, job_id: int, attempt: int) -> bool:
    """Whether this attempt ended the job with success: a commit may hold although its answer never came."""
    done = select(Job.id).where(Job.id == job_id, Job.attempt == attempt, Job.state == "succeeded")
    return session.scalar(done) is not None


def _end(session: Session, job_id: int, attempt: int, **values: Any) -> None:
    ended = {"lease_until": None, "worker": _TO_BE_SWEPT, "finished_at": database_time(session), **values}
    if not _change(session, _mine(job_id, attempt), **ended):
        raise LostJob(f"Attempt {attempt} of job {job_id} is not running any more.")
    job = get_job(session, job_id)
    _wake_others(session, job.kind, job.project_id)


def _mine(job_id: int, attempt: int) -> list[ColumnElement[bool]]:
    return [Job.id == job_id, Job.attempt == attempt, Job.state == "running"]


def _alive(job_id: int, attempt: int) -> list[ColumnElement[bool]]:
    return [*_mine(job_id, attempt), Job.lease_until.is_not(None)]


def _change(session: Session, where: list[ColumnElement[bool]], **values: Any) -> int:
    result = session.execute(update(Job).where(*where).values(**values).execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101
    return result.rowcount


def _wake_others(session: Session, kind: str, project_id: int | None) -> None:
    """After a round: the project's next one can start, and so can the work that made way."""
    if kind != "round":
        return
    following = select(Job.kind, Job.id).where(
        WAITING, or_(Job.kind != "round", Job.project_id == project_id), _no_other_round_runs()
    )
    for other_kind, other_id in session.execute(following.order_by(Job.kind.desc(), Job.id).limit(8)).all():
        hint(session, other_kind, other_id)


def round_waits(session: Session, now: datetime) -> bool:
    """Is there a round that could start and that nobody has taken for 0.2 s?"""
    waiting = select(Job.id).where(
        Job.kind == "round", WAITING, Job.created_at < now - YIELD_AFTER, _no_other_round_runs()
    )
    return session.scalar(waiting.limit(1)) is not None


# Finding work that nobody does


_HELD = select(Job.id, Job.worker, Job.lease_until).where(Job.state == "running", Job.lease_until.is_not(None))


def lost_jobs(session: Session, now: datetime, *, by_lease: bool = True) -> list[int]:
    """The running jobs whose lease ran out, or whose process (of this machine) is gone.

    ``by_lease=False`` looks at processes alone: after an outage no lease is fresh, and who lives renews theirs.
    """
    return [row.id for row in session.execute(_HELD).all() if _is_lost(row, now, by_lease)]


def release_lost(session: Session, now: datetime, *, by_lease: bool = True) -> list[int]:
    """The jobs that are lost wait again, one death later. Returns their ids."""
    candidates = lost_jobs(session, now, by_lease=by_lease)
    # Looked at again under their locks: another reaper may have been first, and another attempt may live by now.
    locked = _HELD.where(Job.id.in_(candidates)).order_by(Job.id).with_for_update(skip_locked=True)
    lost = [row.id for row in session.execute(locked).all() if _is_lost(row, now, by_lease)] if candidates else []
    return _give_up(session, [Job.id.in_(lost)], deaths=1) if lost else []


def _is_lost(row: Any, now: datetime, by_lease: bool) -> bool:
    return bool((by_lease and row.lease_until < now) or (row.worker and is_gone(row.worker)))


def release_worker(session: Session, name: str, *, died: bool = True) -> list[int]:
    """The jobs of a worker that is gone, and of its children, wait again. Returns their ids.

    ``name`` is :func:`winnow.workers.worker_name` of its process.
    """
    # One statement: between a look and a change another reaper may release a job, and a worker that lives claim it.
    return _give_up(session, [_belongs_to(name)], deaths=int(died))


def held_by(session: Session, name: str) -> list[int]:
    """The ids of the jobs that a worker, or a child of it, is doing."""
    held = select(Job.id).where(Job.state == "running", Job.lease_until.is_not(None), _belongs_to(name))
    return list(session.scalars(held))


def _belongs_to(name: str) -> ColumnElement[bool]:
    return or_(Job.worker == name, Job.worker.startswith(f"{name}:", autoescape=True))


def _give_up(session: Session, where: list[ColumnElement[bool]], deaths: int) -> list[int]:
    given = (
        update(Job)
        .where(Job.state == "running", Job.lease_until.is_not(None), *where)
        .values(
            lease_until=None,
            worker=None,
            deaths=Job.deaths + deaths,
            message="its worker is gone; it will be taken up again",
        )
        .returning(Job.id)
    )
    return sorted(session.scalars(given, execution_options={"synchronize_session": False}))


def startable(session: Session, limit: int = 100) -> list[tuple[str, int]]:
    """The waiting jobs that could start now, as (kind, id), in the order to do them: rounds first, then imports."""
    waiting = select(Job.kind, Job.id).where(WAITING, _no_other_round_runs())
    found = session.execute(waiting.order_by(Job.kind.desc(), Job.id).limit(limit))
    return [(kind, job_id) for kind, job_id in found]


def unswept_jobs(session: Session, ended_before: datetime, limit: int = 200) -> list[Job]:
    """Jobs that have ended, and after which nobody has swept yet: they still name their worker."""
    ended = Job.state.in_(("succeeded", "failed", "canceled"))
    left = select(Job).where(ended, Job.worker.is_not(None), Job.finished_at < ended_before)
    return list(session.scalars(left.order_by(Job.id).limit(limit)))


def mark_swept(session: Session, job_ids: Sequence[int], *, swept: bool = True) -> None:
    """Nothing is left of these ended jobs but what rows point to; or, with ``swept=False``, there is again."""
    ended = Job.state.in_(("succeeded", "failed", "canceled"))
    _change(session, [Job.id.in_(job_ids), ended], worker=None if swept else "unswept")


class Interrupted(Exception):
    """The attempt ends without a result: its worker stops, or it makes way for a round. It will be taken up again."""


class JobContext:
    """One attempt of a job, as the code that does the work sees it.

    ``stopping`` says whether the worker has been told to stop. ``costs()`` is what the attempt has cost so far;
    ``at_end`` is called in the transaction that ends the job with success; ``flops`` is what the work says of itself.
    """

    def __init__(
        self, database: Database, job: Job, settings: Settings, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.database = database
        self.settings = settings
        self.job_id = job.id
        self.kind = job.kind
        self.attempt = job.attempt
        self.deaths = job.deaths
        self.project_id = job.project_id
        self.payload = dict(job.payload)
        self.checkpoint_state: dict[str, Any] = dict(job.checkpoint or {})
        self.requested_by = job.requested_by
        self.flops: float | None = None
        self.finished = False
        self.lost = False
        self.costs: Callable[[], dict[str, Any]] = dict
        self.at_end: Callable[[Session], None] = lambda session: None
        self._stopping = stopping
        self._looked_at = self._told_at = self._yield_at = 0.0
        self._yields = False

    def fence(self, session: Session, **changes: Any) -> None:
        """Make this transaction depend on the attempt; raises :class:`~winnow.errors.LostJob` when it was overtaken."""
        if not heartbeat(session, self.job_id, self.attempt, self.settings, **changes):
            self.lost = True
            raise LostJob(f"Attempt {self.attempt} of job {self.job_id} is not running any more.")

    def checkpoint(
        self, session: Session, state: dict[str, Any], progress: float | None = None, message: str | None = None
    ) -> None:
        """Fence this transaction, and have the next attempt go on from ``state``."""
        changes = {"progress": progress, "message": message}
        self.fence(session, checkpoint=state, **{name: value for name, value in changes.items() if value is not None})
        self.checkpoint_state = dict(state)

    def progress(self, progress: float, message: str = "") -> None:
        """Show how far the work is (0 to 1), in a transaction of its own, twice a second at most."""
        if time.monotonic() - self._told_at < 0.5:
            return
        self._told_at = time.monotonic()
        with outages_ignored(), self.database.write() as session:
            self.fence(session, progress=progress, message=message)

    def finish(self, session: Session, result: dict[str, Any]) -> None:
        """End the job with its result, in the transaction that publishes what the result speaks of."""
        try:
            finish(session, self.job_id, self.attempt, result)
        except LostJob:
            self.lost = True
            raise
        self.at_end(session)
        after_commit(session, self._note_end)

    def _note_end(self) -> None:
        self.finished = True

    def should_stop(self) -> bool:
        """Canceled, overtaken, or the worker was told to stop: give up soon, publish nothing."""
        if not self.lost and time.monotonic() - self._looked_at >= 0.5:
            self._looked_at = time.monotonic()
            with outages_ignored(), self.database.read() as session:
                self.lost = session.scalar(select(Job.id).where(*_alive(self.job_id, self.attempt))) is None
        return self.lost or self._stopping()

    def should_yield(self) -> bool:
        """Make way: a round waits and nobody takes it. Rounds themselves never make way."""
        if self.kind == "round":
            return False
        if time.monotonic() - self._yield_at >= 0.2:
            self._yield_at = time.monotonic()
            with outages_ignored(), self.database.read() as session:
                self._yields = round_waits(session, database_time(session))
        return self._yields

    def pause_point(self) -> None:
        """To be called between two pieces of work: raises :class:`Interrupted` when it is time to stop or make way."""
        if self.should_stop():
            raise Interrupted("stopped")
        if self.should_yield():
            raise Interrupted("makes way for a round")


# Showing


def problem_of(error: WinnowError) -> dict[str, Any]:
    """The problem object (RFC 9457) of an error."""
    problem: dict[str, Any] = {
        "type": f"urn:winnow:problem:{error.slug}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if error.errors:
        problem["errors"] = [{"loc": list(fault.loc), "msg": fault.msg} for fault in error.errors]
    return problem


def _died_too_often(times: int) -> dict[str, Any]:
    return {
        "type": "urn:winnow:problem:job-died",
        "title": "The work died again and again",
        "status": 500,
        "detail": f"The worker process died {times} times while it did this job, which is how often it is tried. "
        "Memory is the usual reason: see the worker's log, then ask for the job again.",
    }


def internal_problem(error: BaseException) -> dict[str, Any]:
    """The problem object of a bug: it names the kind of error, and the log has the rest."""
    return {
        "type": "urn:winnow:problem:internal-error",
        "title": "Internal error",
        "status": 500,
        "detail": f"This is a fault of the service ({type(error).__name__}); the worker's log has the details.",
    }


def to_dict(job: Job) -> dict[str, Any]:
    """The job as the contract shows it. ``attempt`` counts from 1 once it was started and grows with each death."""
    return {
        "id": str(job.id),
        "kind": job.kind,
        "project": None if job.project_id is None else str(job.project_id),
        "state": job.state,
        "progress": round(min(max(job.progress, 0.0), 1.0), 4),
        "message": job.message,
        "attempt": min(job.attempt, job.deaths + 1),
        "result": job.result,
        "error": job.error,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }
