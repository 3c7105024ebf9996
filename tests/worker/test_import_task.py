"""Imports as jobs: what becomes of the uploaded file."""

from __future__ import annotations

import pytest

from tests.worker.service import Service
from winnow import jobs
from winnow.db.tables import Job
from winnow.errors import StorageUnavailable
from worker.base import run_job
from worker.tasks import imports

PATH = "incoming/1/1-a"


def ask(service: Service, data: bytes) -> int:
    service.storage.put_bytes(data, PATH)
    project = service.make_project()
    with service.database.write() as session:
        payload = {"path": PATH, "filename": "in.jsonl"}
        return jobs.create_job(session, "import", project, payload, service.user_id).id


def read(service: Service, job_id: int) -> Job:
    with service.database.read() as session:
        return jobs.get_job(session, job_id)


@pytest.mark.parametrize(("data", "outcome"), [(b'{"text": "a"}', "succeeded"), (b"", "failed")])
def test_an_upload_goes_when_its_import_has_ended(service: Service, data: bytes, outcome: str) -> None:
    job_id = ask(service, data)
    assert run_job(service.runtime(), "import", job_id, imports.run) == outcome
    assert read(service, job_id).state == outcome
    assert not service.storage.exists(PATH)


@pytest.mark.parametrize(("data", "outcome"), [(b'{"text": "a"}', "succeeded"), (b"", "failed")])
def test_an_upload_that_cannot_be_deleted_changes_nothing_about_its_import(
    service: Service, data: bytes, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = ask(service, data)

    def is_away(path: str) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(service.storage, "delete", is_away)
        assert run_job(service.runtime(), "import", job_id, imports.run) == outcome
    job = read(service, job_id)
    if outcome == "failed":
        assert job.error is not None
        assert "empty" in job.error["detail"]
    else:
        assert job.result is not None
        assert job.result["created"] == 1
    assert job.worker is not None, "the reaper will look after it"
    assert service.storage.exists(PATH)
