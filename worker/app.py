"""The Celery application of the workers: a task for each kind of job, each of which is a hint to look at the jobs."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module

from celery import Celery

from winnow.hints import TASK_NAMES, make_app
from winnow.jobs import JobContext
from winnow.settings import Settings
from worker.base import Body, Runtime
from worker.loop import JobLoop

_BODIES = {
    "round": "worker.tasks.rounds",
    "import": "worker.tasks.imports",
    "encode": "worker.tasks.encode",
    "export": "worker.tasks.export",
    "label-rest": "worker.tasks.label_rest",
    "label-undo": "worker.tasks.label_undo",
    "drift": "worker.tasks.drift",
    "cold-retrain": "worker.tasks.cold_retrain",
}


def body_of(kind: str) -> Body:
    """What does the work of a kind of job. Imported when first needed: the worker's own process never is."""
    body: Body = import_module(_BODIES[kind]).run
    return body


def lazy_body(kind: str) -> Body:
    """The same, imported once the job is claimed: that takes seconds, and nobody else need wonder who does it."""

    def run(runtime: Runtime, context: JobContext) -> None:
        body_of(kind)(runtime, context)

    return run


def make_celery(
    settings: Settings, *, stopping: Callable[[], bool] | None = None, bell: Callable[[], int] = lambda: 0
) -> Celery:
    """The application; ``stopping`` says, in every process, whether the worker has been told to stop.

    Messages are acknowledged when the work is done, so that a process that works is sent no other, and an idle one gets
    it. Nothing rests on that, and results are not stored: the job row has it all.
    """
    app = make_app(settings.resolved_broker_url)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=False,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_pool="prefork",
        worker_consumer="worker.consumer:PatientConsumer",
        broker_heartbeat=10,
    )
    loops: dict[int, JobLoop] = {}
    worker = os.getpid()

    def loop() -> JobLoop:
        pid = os.getpid()
        if pid not in loops:  # threads and connections do not survive a fork
            loops.clear()
            parent = worker if pid != worker else None
            loops[pid] = JobLoop(
                lambda: Runtime.open(settings, parent=parent, stopping=stopping), lazy_body, bell=bell, on_done=_on_done
            )
        return loops[pid]

    for name in TASK_NAMES.values():
        app.task(_task(loop), name=name, ignore_result=True, shared=False)
    app.winnow_loop = loop
    return app


def _task(loop: Callable[[], JobLoop]) -> Callable[[int], None]:
    def run(_job_id: int) -> None:
        loop().tell()

    return run


def _on_done(kind: str, outcome: str) -> None:
    if kind == "encode" and outcome == "succeeded":
        warm_up()


def warm_up() -> threading.Thread:
    """Load what a round needs (two to five seconds, and 350 MB) in the idle time before the first one.

    Not earlier: a service that only waits stays small. Items that were encoded will be labelled soon.
    """
    thread = threading.Thread(target=body_of, args=("round",), name="winnow-warm-up", daemon=True)
    thread.start()
    return thread
