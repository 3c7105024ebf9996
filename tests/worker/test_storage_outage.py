"""Jobs whose storage does not answer, or keeps hardly anything on this machine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.worker.service import Service
from winnow import jobs, projects, purge, rounds
from winnow.db.base import utcnow
from winnow.db.tables import Project
from winnow.errors import StorageUnavailable
from winnow.local_cache import LocalCache
from winnow.storage import Storage
from worker.app import body_of
from worker.base import run_job


@pytest.fixture
def remote(service: Service, tmp_path: Path) -> Service:
    """A service whose storage is no folder, with a cache that holds less than a student."""
    service.settings = service.settings.model_copy(
        update={"storage_url": f"memory://{tmp_path.name}", "cache_bytes": 2_000}
    )
    service.storage = Storage.of(service.settings)
    return service


def cached(service: Service) -> int:
    return sum(entry.bytes for entry in LocalCache(service.settings.cache_folder).entries())


def ask_for_round(service: Service, project: int) -> int:
    with service.database.write() as session:
        return rounds.request_round(session, session.get_one(Project, project), forced=True, user_id=None).id


def test_rounds_and_exports_work_with_hardly_any_cache_and_its_bound_is_kept(remote: Service) -> None:
    project = remote.make_project(80)
    remote.work()
    for version in (1, 2):
        remote.label(project, 20)
        ask_for_round(remote, project)
        remote.work()
        assert remote.jobs("round")[-1].state == "succeeded"
        assert cached(remote) <= 2_000
        with remote.database.write() as session:
            jobs.create_job(session, "export", project, {"version": version, "format": "onnx"})
        remote.work()
        assert remote.jobs("export")[-1].state == "succeeded"
        assert cached(remote) <= 2_000


def test_a_job_waits_for_the_storage_and_fails_with_its_reason_in_the_end(
    remote: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = remote.make_project(40)
    remote.work()
    remote.label(project, 24)
    job = ask_for_round(remote, project)

    def down(self: Storage, *_: object) -> None:
        raise StorageUnavailable("The storage at s3://bucket does not answer (refused).")

    for name in ("put_bytes", "put_file", "get_bytes", "list", "size"):
        monkeypatch.setattr(Storage, name, down)
    most = remote.settings.max_attempts
    for attempt in range(1, most + 1):
        assert run_job(remote.runtime(), "round", job, body_of("round")) == ("left" if attempt < most else "failed")
        now = remote.jobs("round")[-1]
        assert now.attempt == attempt
        if attempt < most:
            assert (now.state, now.message) == ("running", "the storage does not answer; it waits")
            with remote.database.write() as session:
                assert jobs.release_lost(session, utcnow() + timedelta(hours=1)) == [job]
    assert now.state == "failed"
    assert now.error is not None
    assert (now.error["status"], now.error["type"]) == (503, "urn:winnow:problem:storage-unavailable")
    assert "bucket" not in now.error["detail"]


def test_a_job_goes_on_when_the_storage_is_back(remote: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    project = remote.make_project(40)
    remote.work()
    remote.label(project, 24)
    job = ask_for_round(remote, project)

    def down(self: Storage, *_: object) -> None:
        raise StorageUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_bytes", down)
        assert run_job(remote.runtime(), "round", job, body_of("round")) == "left"
    with remote.database.write() as session:
        jobs.release_lost(session, utcnow() + timedelta(hours=1))
    assert run_job(remote.runtime(), "round", job, body_of("round")) == "succeeded"
    assert remote.jobs("round")[-1].state == "succeeded"


def test_a_job_whose_project_was_purged_while_it_wrote_its_files_takes_them_away(
    remote: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = remote.make_project(40)
    remote.work()
    remote.label(project, 24)
    job = ask_for_round(remote, project)
    put = Storage.put_file

    def purged_first(self: Storage, *arguments: Any) -> None:
        monkeypatch.setattr(Storage, "put_file", put)
        with remote.database.write() as session:
            projects.archive_project(session, project, "mail")
        purge.purge_project(remote.database, self, project)
        put(self, *arguments)

    monkeypatch.setattr(Storage, "put_file", purged_first)
    assert run_job(remote.runtime(), "round", job, body_of("round")) == "lost"
    assert remote.storage.list() == []
