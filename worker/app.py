"""The Celery application of the workers: four tasks, each of which looks at a job row."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module

from celery import Celery

from winnow.hints import TASK_NAMES, make_app
from winnow.settings import Settings
from worker.base import Body, Runtime, run_job

_BODIES = {
    "round": "worker.tasks.rounds",
    "import": "worker.tasks.imports",
    "encode": "worker.tasks.encode",
    "export": "worker.tasks.export",
}


def body_of(kind: str) -> Body:
    """What does the work of a kind of job. Imported when first needed: the worker's own process never is."""
    body: Body = import_module(_BODIES[kind]).run
    return body


def make_celery(settings: Settings, *, stopping: Callable[[], bool] | None = None) -> Celery:
    """The application; ``stopping`` says, in every process, whether the worker has been told to stop.

    Messages are acknowledged when a process takes them up and results are not stored: the job row has it all.
    """
    app = make_app(settings.resolved_broker_url)
    app.conf.update(
        task_acks_late=False,
        task_store_errors_even_if_ignored=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_pool="prefork",
    )
    runtimes: dict[int, Runtime] = {}
    worker = os.getpid()

    def runtime() -> Runtime:
        pid = os.getpid()
        if pid not in runtimes:  # connections do not survive a fork
            runtimes.clear()
            runtimes[pid] = Runtime.open(settings, parent=worker if pid != worker else None, stopping=stopping)
        return runtimes[pid]

    for kind, name in TASK_NAMES.items():
        app.task(_task(kind, runtime), name=name, ignore_result=True, shared=False)
    return app


def _task(kind: str, runtime: Callable[[], Runtime]) -> Callable[[int], None]:
    def run(job_id: int) -> None:
        outcome = run_job(runtime(), kind, int(job_id), body_of(kind))
        if kind == "encode" and outcome == "succeeded":
            warm_up()

    return run


def warm_up() -> threading.Thread:
    """Load what a round needs (two to five seconds, and 350 MB) in the idle time before the first one.

    Not earlier: a service that only waits stays small. Items that were encoded will be labelled soon.
    """
    thread = threading.Thread(target=body_of, args=("round",), name="winnow-warm-up", daemon=True)
    thread.start()
    return thread
