"""Exports as jobs."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from tests.worker.service import Service
from winnow import exports, jobs
from worker.base import run_job
from worker.tasks import export


@pytest.fixture
def trained(service: Service) -> int:
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


def test_a_student_that_is_not_there_fails_the_export(service: Service, trained: int) -> None:
    with service.database.write() as session:
        jobs.create_job(session, "export", trained, {"version": 7, "format": "onnx"}, service.user_id)
    assert service.work() == ["failed"]
    error = service.jobs("export")[0].error
    assert error is not None
    assert error["status"] == 404
