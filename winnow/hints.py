"""Messages to the workers: hints to look at a job row, never the truth about it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

ROUNDS_QUEUE = "rounds"
BULK_QUEUE = "bulk"
TASK_NAMES = {"round": "round.run", "import": "import.run", "encode": "encode.run", "export": "export.run"}
_IDLE_SECONDS = 10.0


def queue_of(kind: str) -> str:
    """The queue of a kind of job: rounds have one of their own, so that nothing long stands before them."""
    return ROUNDS_QUEUE if kind == "round" else BULK_QUEUE


def make_app(broker_url: str) -> Celery:
    """A Celery application that knows the broker, the queues and the task names, and no task."""
    from celery import Celery
    from kombu.entity import Queue

    import winnow.broker  # noqa: F401  (registers the embedded transport)

    app = Celery("winnow", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        task_queues=[Queue(name) for name in (ROUNDS_QUEUE, BULK_QUEUE)],  # type: ignore[no-untyped-call]
        task_default_queue=BULK_QUEUE,
        task_routes={name: {"queue": queue_of(kind)} for kind, name in TASK_NAMES.items()},
        task_create_missing_queues=False,
        broker_connection_timeout=3,
        broker_connection_retry_on_startup=True,
    )
    return app


class Sender:
    """Sends hints from a thread of its own, so that a slow or dead broker holds up nobody.

    A hint that cannot be sent is logged and forgotten: the reaper sends another.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._lock = threading.Lock()
        self._pid = 0
        self._busy = False
        self._waiting: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self._app: Any = None

    def __call__(self, kind: str, job_id: int) -> None:
        """Hand the hint to the thread; returns at once and never raises."""
        if kind not in TASK_NAMES:
            return
        if self._pid != os.getpid():  # locks, queues and connections do not survive a fork
            self._lock, self._waiting = threading.Lock(), SimpleQueue()
            self._pid, self._busy, self._app = os.getpid(), False, None
        with self._lock:
            self._waiting.put((kind, job_id))
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._send_waiting, name="winnow-hints", daemon=True).start()

    def _send_waiting(self) -> None:
        while True:
            try:
                kind, job_id = self._waiting.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._busy = False
                        return
                continue
            try:
                if self._app is None:
                    self._app = make_app(self._broker_url)
                self._app.send_task(TASK_NAMES[kind], args=[job_id], queue=queue_of(kind), retry=False)
            except Exception as error:
                log.warning("hint.not_sent", kind=kind, job=job_id, error=str(error))


def make_sender(broker_url: str) -> Callable[[str, int], None]:
    """``send(kind, job_id)`` for the broker at ``broker_url``; it never raises and never blocks."""
    return Sender(broker_url)
