"""The reaper: finds work that nobody does, and says so; clears away what is not needed any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from winnow import jobs, leftovers, purge
from winnow.db.base import utcnow
from winnow.db.clock import database_time
from winnow.db.outage import outage_of
from winnow.db.session import Database
from winnow.forking import no_fork
from winnow.scratch import sweep_scratch
from winnow.settings import Settings
from winnow.storage import Storage

log = structlog.get_logger(__name__)

PURGE_SECONDS = 600.0


class Reaper:
    """A thread that looks, every ``reaper_seconds``, for jobs without a live lease and for jobs that nobody begins.

    For the latter it calls the idle processes of its own worker (``call``). It sends no messages: they would pile up at
    the broker while all are busy, and the broker may be dead. Any number of reapers may run. ``on_look`` is called each
    time it looks, and nothing forks meanwhile. With a ``storage`` it also has what is not needed any more cleared away,
    now and then, by a thread of its own: that takes as long as the storage does.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        call: Callable[[], None],
        *,
        storage: Storage | None = None,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._call = call
        self._storage = storage
        self._on_look = on_look
        self._cleared_at = time.monotonic()
        self._clearing: threading.Thread | None = None
        self._looked_at: datetime | None = None
        self._trusts_leases_at = 0.0
        self._over = False
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, in a thread."""
        self._distrust_leases()
        self._thread = threading.Thread(target=self._run, name="winnow-reaper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it; what clears away may be cut short anywhere, and ends with the process."""
        self._over = True
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()

    def hurry(self) -> None:
        """Look now."""
        self._hurry.set()

    def _run(self) -> None:
        while not self._over:
            self._quietly(self.run_once)
            with no_fork():
                self._quietly(self._on_look)
            self._clear_now_and_then()
            self._hurry.wait(self._settings.reaper_seconds)
            if not self._over:
                self._hurry.clear()

    def _quietly(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # a database that is away comes back; the reaper must be there then
            log.warning("reaper.failed", error=str(error).partition("\n")[0])
            if outage_of(error) is not None:
                self._distrust_leases()

    def _distrust_leases(self) -> None:
        """While the database was away (as it may have been before this began) nobody could renew a lease."""
        self._trusts_leases_at = time.monotonic() + 2 * self._settings.heartbeat_seconds

    def run_once(self) -> list[int]:
        """Look once; returns the ids of the jobs that could start and that nobody does (the first hundred)."""
        with self._database.read() as session:
            now = database_time(session)
            self._note_look(now)
            by_lease = time.monotonic() >= self._trusts_leases_at
            lost = jobs.lost_jobs(session, now, by_lease=by_lease)
        if lost:
            with self._database.write() as session:
                released = jobs.release_lost(session, now, by_lease=by_lease)
            log.warning("reaper.released", jobs=released)
        with self._database.read() as session:
            waiting = [job_id for _, job_id in jobs.startable(session)]
        if waiting:
            self._call()
        return waiting

    def _note_look(self, now: datetime) -> None:
        """Looks that are too far apart mean that this machine slept, and everybody on it: their leases ran out too.

        By the database's clock, for the machine's own may have slept as well.
        """
        last, self._looked_at = self._looked_at, now
        longest = self._settings.reaper_seconds + 2 * self._settings.heartbeat_seconds
        if last is not None and now - last > timedelta(seconds=longest):
            log.warning("reaper.slept", seconds=round((now - last).total_seconds(), 1))
            self._distrust_leases()

    def _clear_now_and_then(self) -> None:
        if self._storage is None or time.monotonic() - self._cleared_at <= PURGE_SECONDS:
            return
        if self._clearing is None or not self._clearing.is_alive():
            self._cleared_at = time.monotonic()
            clear = partial(self._quietly, partial(self.clear, self._storage))
            self._clearing = threading.Thread(target=clear, name="winnow-clearing", daemon=True)
            self._clearing.start()

    def clear(self, storage: Storage) -> None:
        """Delete what projects that are to be purged hold, and what processes that died left behind."""
        scratch = sweep_scratch(self._settings)
        left = leftovers.sweep(self._database, storage)
        if scratch or left:
            log.info("reaper.swept", files=len(left), folders=len(scratch))
        with self._database.read() as session:
            expired = purge.expired_projects(session, utcnow())
        for project_id in expired:
            log.info("reaper.purges", project=project_id)
            purge.purge_project(self._database, storage, project_id)
