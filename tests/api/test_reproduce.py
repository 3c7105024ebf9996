"""``winnow reproduce`` against a running server: it asks for the training data itself."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx
import pytest

from cli.main import app
from tests.worker.service import Service
from winnow import exports, jobs
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture
def database_kind() -> str:
    """One kind of database is enough."""
    return "sqlite"


def test_the_training_data_is_fetched_with_the_bundle_s_own_project_and_version(
    owner: httpx.Client,
    owner_token: str,
    url: str,
    settings: Settings,
    database: Database,
    storage: Storage,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = Service(settings, database, storage, int(owner.get("/me").json()["id"]))
    project = service.make_project(100)
    service.work()
    service.label(project, 30)
    service.work()
    with database.write() as session:
        jobs.create_job(session, "export", project, {"version": 1, "format": "numpy"}, service.user_id)
    service.work()
    bundle, kept = tmp_path / "bundle.zip", tmp_path / "kept.zip"
    bundle.write_bytes(storage.get_bytes(exports.bundle_path(service.jobs("export")[0])))

    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            service.work()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        app(
            ["reproduce", str(bundle), "--url", url, "--token", owner_token, "--keep", str(kept)],
            standalone_mode=False,
        )
    finally:
        over.set()
        worker.join(10)
    assert "the same weights as the bundle's student, to the bit" in capsys.readouterr().out
    app(["reproduce", str(bundle), "--data", str(kept)], standalone_mode=False)
    assert "trained again: v1" in capsys.readouterr().out
