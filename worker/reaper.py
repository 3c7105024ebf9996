"""The reaper: finds work that nobody does, and says so; clears away what is not needed any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from winnow import jobs, purge
from winnow.attempt_files import sweep
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.forking import no_fork
from winnow.settings import Settings
from winnow.storage import Storage

log = structlog.get_logger(__name__)

PURGE_SECONDS = 600.0


class Reaper:
    """A thread that looks, every ``reaper_seconds``, for jobs without a live lease and for hints that got lost.

    Any number of them may run. With a ``storage`` it also purges projects that were archived long ago. ``on_look`` is
    called each time it looks.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        send_hint: Callable[[str, int], None],
        *,
        storage: Storage | None = None,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._send_hint = send_hint
        self._storage = storage
        self._on_look = on_look
        self._purged_at = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look, in a thread. Hints from before are taken to be lost."""
        self._thread = threading.Thread(target=self._run, name="winnow-reaper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        self._quietly(self._forget_hints)
        while not self._over.is_set():
            self._quietly(self.run_once)
            self._quietly(self._on_look)
            self._over.wait(self._settings.reaper_seconds)

    def _quietly(self, step: Callable[[], object]) -> None:
        try:
            with no_fork():
                step()
        except Exception as error:  # a database that is away comes back; the reaper must be there then
            log.warning("reaper.failed", error=str(error))

    def _forget_hints(self) -> None:
        with self._database.write() as session:
            jobs.forget_hints(session)

    def run_once(self) -> list[int]:
        """Look once; returns the ids of the jobs that were hinted at."""
        now = utcnow()
        with self._database.read() as session:
            lost = jobs.lost_jobs(session, now)
        if lost:
            with self._database.write() as session:
                released = jobs.release_lost(session, now)
            log.warning("reaper.released", jobs=released)
        with self._database.read() as session:
            due = jobs.pending_hints(session, now)
        if due:
            with self._database.write() as session:
                jobs.mark_hinted(session, [job_id for _, job_id in due], now)
            for kind, job_id in due:
                self._send_hint(kind, job_id)
        if self._storage is not None and time.monotonic() - self._purged_at > PURGE_SECONDS:
            self._purged_at = time.monotonic()
            self.clear(self._storage)
        return [job_id for _, job_id in due]

    def clear(self, storage: Storage) -> None:
        """Delete what projects that are to be purged hold, and what canceled and failed jobs left in the storage."""
        with self._database.read() as session:
            expired = purge.expired_projects(session, utcnow())
            ended = jobs.ended_without_result(session, utcnow())
        for job in ended:
            if job.project_id is not None:
                sweep(storage, job.project_id, job.id, job.attempt, published=False)
        for project_id in expired:
            log.info("reaper.purges", project=project_id)
            purge.purge_project(self._database, storage, project_id)
