"""The Celery application and its tasks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.worker.service import Service
from winnow import jobs
from winnow.db.tables import Job
from winnow.settings import Settings
from worker import app as worker_app
from worker.app import body_of, make_celery


def test_each_kind_of_job_has_its_task_and_its_work(settings: Settings) -> None:
    app = make_celery(settings)
    ours = {name: app.amqp.router.route({}, name)["queue"].name for name in app.tasks if not name.startswith("celery.")}
    bulk = ("import", "encode", "export", "label-rest", "label-undo", "drift", "cold-retrain")
    assert ours == {"round.run": "rounds", **{f"{kind}.run": "bulk" for kind in bulk}}
    for kind in ("round", *bulk):
        assert callable(body_of(kind))


def test_tasks_are_json_acknowledged_when_done_and_leave_no_result(settings: Settings) -> None:
    conf = make_celery(settings).conf
    assert (conf.accept_content, conf.task_serializer, conf.task_acks_late) == (["json"], "json", True)
    assert (conf.task_ignore_result, conf.worker_prefetch_multiplier, conf.worker_hijack_root_logger) == (
        True,
        1,
        False,
    )


def test_a_task_does_all_that_waits_whichever_job_it_names(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed: list[bool] = []
    monkeypatch.setattr(worker_app, "warm_up", lambda: warmed.append(True))
    project = service.make_project(10)
    [job] = service.jobs("encode")
    task = make_celery(service.settings).tasks["encode.run"]
    task(99_999)
    task(job.id)
    with service.database.read() as session:
        found: Job = jobs.get_job(session, job.id)
    assert (found.state, found.attempt, found.project_id) == ("succeeded", 1, project)
    assert [job.state for job in service.jobs("round")] == ["succeeded"], "the cold start, which the encoding asked for"
    assert warmed == [True], "a round will come soon"


def test_the_process_that_only_listens_loads_no_training_code() -> None:
    code = (
        "import sys, worker.app, worker.main, worker.reaper; worker.app.make_celery(__import__('winnow.settings')"
        ".settings.Settings()); print([m for m in ('torch', 'sklearn', 'onnxruntime', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
