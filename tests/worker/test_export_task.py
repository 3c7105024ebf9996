"""Exports as jobs."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from models.export.bundle import export_bundle
from tests.worker.conftest import Begun
from tests.worker.service import Service
from winnow import exports, jobs, registry, rounds
from winnow.db.base import utcnow
from winnow.db.tables import Job, Project, Student
from worker.base import run_job
from worker.tasks import export


@pytest.fixture
def trained(begun: Begun) -> int:
    return begun(train)


def train(service: Service) -> int:
    project = service.make_project(120)
    service.work()
    service.label(project, 20)
    service.work()
    return project


@pytest.mark.parametrize("format", ["onnx-int8", "onnx"])
def test_an_export_leaves_a_bundle_that_its_result_points_to(service: Service, trained: int, format: str) -> None:
    with service.database.write() as session:
        asked = jobs.create_job(session, "export", trained, {"version": 1, "format": format}, service.user_id)
    assert service.work() == ["succeeded"]
    [job] = service.jobs("export")
    result = job.result
    assert result is not None
    assert result["download_url"] == f"/v1/projects/{trained}/students/1/exports/{asked.id}"
    assert result["filename"] == f"student-mail-v1-{format}.zip"
    assert result["parity"]["agreement"] >= 0.99
    data = service.storage.get_bytes(exports.bundle_path(job))
    assert len(data) == result["bytes"]
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        assert {"model.onnx", "labels.json", "predict.py", "manifest.json", "README.md"} <= set(bundle.namelist())
        assert json.loads(bundle.read("manifest.json"))
        card = bundle.read("README.md").decode()
    assert "human" in card
    assert run_job(service.runtime(), "export", asked.id, export.run) == "not waiting"


def test_a_student_of_word_pieces_is_trained_and_exported_where_it_is_named(service: Service) -> None:
    project = service.make_project(80, student="static-pieces")
    service.work()
    service.label(project, 20)
    service.work()
    with service.database.write() as session:
        assert registry.get_student(session, project, 1).family == "static-pieces"
        jobs.create_job(session, "export", project, {"version": 1, "format": "onnx-int8"}, service.user_id)
    assert service.work() == ["succeeded"]
    [job] = service.jobs("export")
    with zipfile.ZipFile(io.BytesIO(service.storage.get_bytes(exports.bundle_path(job)))) as bundle:
        assert "tokenizer.json" in bundle.namelist()
        assert "Long texts are cut: 0.0%" in bundle.read("README.md").decode()


def test_the_card_says_what_the_teachers_encoder_read_badly() -> None:
    found = [{"language": "de", "name": "German", "share": 0.8}, {"language": "en", "name": "English", "share": 0.15}]
    told = {"languages": {"sample": 500, "found": found, "unclear": 0.05, "known": ["en"]}, "cut_share": 0.021}
    assert export._encoder_limits(Student(metrics={"encoder": told})) == [
        "Languages of a sample of 500 texts: German 80%, English 15%; its teacher's encoder was trained on English.",
        "Its teacher did not read 2.1% of the texts to their ends.",
    ]
    unread = {"languages": None, "cut_share": 0.0}
    assert export._encoder_limits(Student(metrics={"encoder": unread})) == []
    assert export._encoder_limits(Student(metrics={})) == []


def ask(service: Service, project: int) -> int:
    with service.database.write() as session:
        payload = {"version": 1, "format": "onnx"}
        return jobs.create_job(session, "export", project, payload, service.user_id).id


def test_a_round_that_is_asked_for_meanwhile_does_not_cost_the_finished_bundle(
    service: Service, trained: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ask(service, trained)

    def export_while_a_round_is_asked_for(*arguments: Any, **options: Any) -> Any:
        report = export_bundle(*arguments, **options)
        with service.database.write() as session:
            rounds.request_round(session, session.get_one(Project, trained), forced=True)
            session.execute(update(Job).values(created_at=utcnow() - timedelta(seconds=1)))
            assert jobs.round_waits(session, utcnow())
        return report

    monkeypatch.setattr(export, "export_bundle", export_while_a_round_is_asked_for)
    assert run_job(service.runtime(), "export", asked, export.run) == "succeeded"
    [job] = service.jobs("export")
    assert (job.state, job.attempt) == ("succeeded", 1)
    assert service.storage.get_bytes(exports.bundle_path(job))


def test_a_worker_that_stops_uploads_no_bundle(service: Service, trained: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, told = ask(service, trained), threading.Event()

    def export_until_told(*arguments: Any, **options: Any) -> Any:
        told.set()
        return export_bundle(*arguments, **options)

    monkeypatch.setattr(export, "export_bundle", export_until_told)
    assert run_job(service.runtime(stopping=told.is_set), "export", asked, export.run) == "interrupted"
    assert service.storage.list(exports.path_of(trained, asked, 1)) == []
    assert [job.state for job in service.jobs("export")] == ["running"]


def test_a_student_that_is_not_there_fails_the_export(service: Service, trained: int) -> None:
    with service.database.write() as session:
        jobs.create_job(session, "export", trained, {"version": 7, "format": "onnx"}, service.user_id)
    assert service.work() == ["failed"]
    error = service.jobs("export")[0].error
    assert error is not None
    assert error["status"] == 404
