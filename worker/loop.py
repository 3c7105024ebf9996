"""What a process of a worker does: one job after another, as long as any waits, whoever said so."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import structlog

from winnow import jobs
from worker.base import Body, Runtime, run_job

log = structlog.get_logger(__name__)

#: A message is kept from the broker's point of view for this long at most. RabbitMQ breaks with who keeps one for 30
#: minutes; and while it is kept, no other message comes to this process.
HOLD_SECONDS = 600.0
#: How often an idle process looks whether the bell rang.
LISTEN_SECONDS = 0.2


class JobLoop:
    """A thread that does the jobs that wait, rounds first, until none is left; then it waits to be told of more.

    It is told by a message (:meth:`tell`), or by the ``bell`` that the worker rings when it sees a job that nobody
    does. So a message that is lost, or lies with a busy worker, or a broker that is dead, delays work by a second.
    """

    def __init__(
        self,
        runtime: Callable[[], Runtime],
        body_of: Callable[[str], Body],
        *,
        bell: Callable[[], int] = lambda: 0,
        on_done: Callable[[str, str], None] = lambda kind, outcome: None,
    ) -> None:
        self._make_runtime = runtime
        self._body_of = body_of
        self._bell = bell
        self._on_done = on_done
        self._changed = threading.Condition()
        self._asked = self._answered = 0
        self._thread: threading.Thread | None = None
        self._runtime: Runtime | None = None

    def start(self) -> None:
        """Begin to work, in a thread."""
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="winnow-jobs", daemon=True)
                self._thread.start()

    def tell(self, seconds: float = HOLD_SECONDS) -> bool:
        """There may be work: returns once no job waits any more, or after ``seconds``; whether the former."""
        self.start()
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._answered >= mine, timeout=seconds)

    def _run(self) -> None:
        try:
            heard = self._bell()
            while True:
                with self._changed:
                    while self._answered == self._asked and heard == self._bell():
                        self._changed.wait(LISTEN_SECONDS)
                    asked, heard = self._asked, self._bell()
                self._do_all()
                with self._changed:
                    self._answered = asked
                    self._changed.notify_all()
        except BaseException:  # without this thread the process is of no use, and its worker must know
            log.exception("loop.broken")
            os._exit(os.EX_SOFTWARE)

    def _do_all(self) -> None:
        """Do what waits; what could not be taken up once is left to the next call."""
        refused: set[int] = set()
        try:
            if self._runtime is None:
                self._runtime = self._make_runtime()
            runtime = self._runtime
            while not runtime.stopping():
                with runtime.database.read() as session:
                    waiting = jobs.startable(session, limit=20 + len(refused))
                todo = [job for job in waiting if job[1] not in refused]
                if not todo:
                    return
                kind, job_id = todo[0]
                outcome = run_job(runtime, kind, job_id, self._body_of(kind))
                if outcome == "deferred":  # for a round that waits: one of the refused, if it is not in ``todo``
                    refused.clear()
                elif outcome in ("not waiting", "left"):
                    refused.add(job_id)
                self._on_done(kind, outcome)
        except Exception as error:  # the database is away: the bell will ring when it is back
            log.warning("loop.failed", error=str(error))
