"""Messages to the workers: hints to look at the jobs, never the truth about them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from winnow.broker_connection import PATIENCE_SECONDS, broker_options, connect, hang_up

if TYPE_CHECKING:
    from celery import Celery

log = structlog.get_logger(__name__)

ROUNDS_QUEUE = "rounds"
BULK_QUEUE = "bulk"
TASK_NAMES = {
    "round": "round.run",
    "import": "import.run",
    "encode": "encode.run",
    "export": "export.run",
    "label-rest": "label-rest.run",
    "label-undo": "label-undo.run",
    "drift": "drift.run",
    "cold-retrain": "cold-retrain.run",
}
#: An unused connection is closed after this long: nobody would notice that it broke.
IDLE_SECONDS = 10.0
#: So many hints wait for a slow broker at most; the workers find the other jobs by themselves.
MOST_WAITING = 1_000
#: Nobody needs a hint that is older: workers that were there have looked at the jobs many times since.
EXPIRE_SECONDS = 600
MOST_QUEUED = 10_000


def queue_of(kind: str) -> str:
    """The queue of a kind of job: rounds have one of their own, so that nothing long stands before them."""
    return ROUNDS_QUEUE if kind == "round" else BULK_QUEUE


def make_app(broker_url: str) -> Celery:
    """A Celery application that knows the broker, the queues and the task names, and no task.

    Queues are durable (RabbitMQ is about to drop others), messages are not: no disk waits for a hint. Both are bounded,
    in number and in age.
    """
    from celery import Celery
    from kombu.entity import Queue

    import winnow.broker  # noqa: F401  (registers the embedded transport)

    options = broker_options(broker_url)
    app = Celery("winnow", broker=options.url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        result_backend=None,
        task_queues=[
            Queue(name, message_ttl=EXPIRE_SECONDS, max_length=MOST_QUEUED)  # type: ignore[no-untyped-call]
            for name in (ROUNDS_QUEUE, BULK_QUEUE)
        ],
        task_default_queue=BULK_QUEUE,
        task_default_delivery_mode="transient",
        task_routes={name: {"queue": queue_of(kind)} for kind, name in TASK_NAMES.items()},
        task_create_missing_queues=False,
        broker_transport_options=options.transport,
        broker_use_ssl=options.tls or False,
        broker_connection_timeout=PATIENCE_SECONDS,
        broker_connection_retry_on_startup=True,
    )
    return app


class Sender:
    """Sends hints from a thread of its own, so that a slow or dead broker holds up nobody.

    A hint that cannot be sent is forgotten, with those that wait behind it: the workers look by themselves.
    """

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._pid = 0
        self._inherited: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[tuple[str, int], None] = {}
        self._runs = False
        self._app: Any = None
        self._link: Any = None
        self._fails = False
        self._pid = os.getpid()

    def __call__(self, kind: str, job_id: int) -> None:
        """Hand the hint to the thread; returns at once and never raises."""
        if kind not in TASK_NAMES:
            return
        if self._pid != os.getpid():  # locks, threads and connections do not survive a fork
            self._inherited.append(self._link)  # never closed here: that would end the other process's connection
            self._begin()
        with self._changed:
            if len(self._waiting) < MOST_WAITING:
                self._waiting[kind, job_id] = None
            self._changed.notify()
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name="winnow-hints", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting, timeout=IDLE_SECONDS):
                    self._hang_up(broken=False)
                    self._runs = False
                    return
                kind, job_id = next(iter(self._waiting))
                del self._waiting[kind, job_id]
            try:
                self._send(kind, job_id)
                self._fails = False
            except Exception as error:
                self._forget(kind, job_id, error)

    def _send(self, kind: str, job_id: int) -> None:
        if self._app is None:
            self._app = make_app(self._broker_url)
        if self._link is None:
            self._link = self._app.connection_for_write(heartbeat=0)
            connect(self._link)
        self._app.send_task(
            TASK_NAMES[kind],
            args=[job_id],
            queue=queue_of(kind),
            connection=self._link,
            expires=EXPIRE_SECONDS,
            retry=False,
        )

    def _forget(self, kind: str, job_id: int, error: Exception) -> None:
        self._hang_up(broken=True)
        with self._changed:
            forgotten = 1 + len(self._waiting)
            self._waiting.clear()
        if not self._fails:  # one line for an outage
            log.warning("hint.not_sent", kind=kind, job=job_id, forgotten=forgotten, error=str(error) or repr(error))
        self._fails = True

    def _hang_up(self, *, broken: bool) -> None:
        link, self._link = self._link, None
        if link is not None:
            hang_up(link, broken=broken)


def make_sender(broker_url: str) -> Callable[[str, int], None]:
    """``send(kind, job_id)`` for the broker at ``broker_url``; it never raises and never blocks."""
    return Sender(broker_url)
