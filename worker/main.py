"""Running a worker: its processes, its reaper, and how all of that ends."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from winnow import jobs, workers
from winnow.db.clock import database_time
from winnow.db.outage import outages_ignored
from winnow.db.session import Database
from winnow.forking import ForkSafeLogger
from winnow.hints import BULK_QUEUE, ROUNDS_QUEUE
from winnow.settings import Settings
from winnow.storage import Storage
from worker.flags import Bell, Flag
from worker.signals import STOP_SIGNALS, StopSignals

log = structlog.get_logger(__name__)

SOFT_STOP_SECONDS = 5.0
LAST_WORDS_SECONDS = 0.2  # for a process to log how its job ended: the database knows of it a little sooner
SEEN_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_worker(settings: Settings, concurrency: int = 1, *, die_with_parent: bool = False) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code. To be called in the main thread of a process of its own.

    ``concurrency`` is the number of processes that work. When told to stop, running jobs are asked to pause and given
    back; what still runs after 5 s is killed and given back. ``die_with_parent`` stops as well when the process that
    started this one is gone.
    """
    for name in _THREADS:  # two threads make a fit of a hundred rows forty times slower
        os.environ.setdefault(name, "1")
    logging.getLogger("celery").setLevel(logging.WARNING)
    structlog.configure(logger_factory=ForkSafeLogger)
    return _Worker(settings, concurrency, die_with_parent).run()


class _Worker:
    def __init__(self, settings: Settings, concurrency: int, die_with_parent: bool) -> None:
        self._settings = settings
        self._concurrency = concurrency
        self._parent = os.getppid() if die_with_parent else None
        self._name = workers.worker_name()
        self._stopping = Flag()
        self._signals = StopSignals(self._told_to_stop)
        self._bell = Bell()
        self._seen_at = 0.0
        self._children: set[int] = set()
        self._database = Database(settings.resolved_database_url, pool_size=0, forks=True)
        self._controller: Any = None
        self._start_loop: Callable[[], None] = lambda: None

    def run(self) -> int:
        self._signals.open()
        from celery.signals import worker_process_init
        from celery.worker import WorkController

        from worker.app import make_celery
        from worker.reaper import Reaper

        app = make_celery(self._settings, stopping=self._stopping, bell=self._bell)
        worker_process_init.connect(self._on_child, weak=False)
        self._start_loop = lambda: app.winnow_loop().start()
        reaper = Reaper(
            self._database,
            self._settings,
            self._bell.ring,
            storage=Storage.of(self._settings),
            on_look=self._look,
        )
        self._controller = WorkController(
            app=app,
            hostname=f"winnow-{os.getpid()}@{workers.node_name()}",
            concurrency=self._concurrency,
            pool_cls="prefork",
            queues=[ROUNDS_QUEUE, BULK_QUEUE],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            ready_callback=lambda _consumer: reaper.hurry(),
        )
        reaper.start()
        log.info("worker.starts", worker=self._name, processes=self._concurrency)
        self._controller.start()
        if self._stopping():
            threading.Event().wait()  # the other thread ends this process
        reaper.stop()
        self._give_back()
        log.error("worker.broken", exitcode=self._controller.exitcode)
        return 1

    def _told_to_stop(self) -> None:
        if not self._stopping():
            self._stopping.set()
            threading.Thread(target=self._stop, name="winnow-stop", daemon=True).start()

    def _stop(self) -> None:
        """Wait until the running jobs have paused, for 5 s at most, and end all processes."""
        # Celery is not told: its main thread would end the processes of the pool, and with them what still runs there.
        deadline = time.monotonic() + SOFT_STOP_SECONDS
        waited = False
        while self._busy() and time.monotonic() < deadline:
            waited = True
            time.sleep(0.05)
        if waited:
            time.sleep(LAST_WORDS_SECONDS)
        self._kill_children()
        self._give_back()
        log.info("worker.stopped")
        logging.shutdown()
        sys.stdout.flush()
        os._exit(os.EX_OK)

    def _pids(self) -> set[int]:
        """The processes of the pool."""
        pool = getattr(getattr(self._controller, "pool", None), "_pool", None)
        processes = list(getattr(pool, "_pool", []))
        return {int(process.pid) for process in processes if process.pid is not None}  # None: it is about to start

    def _kill_children(self) -> None:
        for pid in self._pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _start_afresh(self, dead: set[int]) -> None:
        """Become a new worker in this process.

        A process that is killed while it waits for work holds the lock of the pool's pipe for ever, and those that
        take its place wait for it: the pool looks healthy and does nothing.
        """
        log.error("worker.child_died", pids=sorted(dead))
        gone = dead | self._pids()
        self._kill_children()
        for pid in gone:
            with suppress(ChildProcessError):  # the pool may have been faster
                os.waitpid(pid, 0)
        with outages_ignored(), self._database.write() as session:  # else the reaper misses them soon
            for pid in dead:
                jobs.release_worker(session, workers.worker_name(child=pid))
            jobs.release_worker(session, self._name, died=False)
        sys.stdout.flush()
        self._signals.close()
        if self._stopping():
            return
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    def _busy(self) -> bool:
        busy = True  # while nobody can tell
        with outages_ignored(), self._database.read() as session:
            busy = bool(jobs.held_by(session, self._name))
        return busy

    def _give_back(self) -> None:
        with outages_ignored(), self._database.write() as session:
            jobs.release_worker(session, self._name, died=False)
            workers.forget_worker(session, self._name)

    def _look(self) -> None:
        if self._parent is not None and os.getppid() != self._parent:
            os.kill(os.getpid(), signal.SIGTERM)
        before, self._children = self._children, self._pids()
        if self._stopping() or not (before or self._children):  # the pool is not there yet
            return
        dead = {pid for pid in before if pid not in self._children or workers.is_gone(workers.worker_name(child=pid))}
        if dead:
            self._start_afresh(dead)
        if time.monotonic() - self._seen_at >= SEEN_SECONDS:
            self._seen_at = time.monotonic()
            with self._database.write() as session:
                workers.see_worker(session, self._name, database_time(session))

    def _on_child(self, **_: Any) -> None:
        """In each process of the pool, as it begins: it dies with the worker, and stops only when told by it."""
        parent = int(self._name.rpartition(":")[2])
        if sys.platform == "linux":
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._start_loop()
