"""``winnow serve`` and a database server that is not there yet, or never comes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from bench.server import RunningServer
from bench.servers.postgresql import create_database, drop_database
from cli.supervisor import Supervisor
from tests.conftest import GivenServer, RanOn
from tests.wire import wired
from winnow.db.server import DatabaseRefused
from winnow.settings import Settings

NOBODY = "postgresql+psycopg://winnow:secret@127.0.0.1:1/winnow"


def _waits(server: RunningServer) -> bool:
    return any("waiting up to 60 s for the database" in line for line in server.output)


def test_it_waits_for_a_server_that_comes_up_later(postgresql_server: GivenServer, ran_on: RanOn) -> None:
    ran_on(postgresql_server.title)
    url = create_database(postgresql_server.url)
    with wired(url) as (wire, through):
        wire.cut()
        server = RunningServer(environment={"WINNOW_DATABASE_URL": through})

        def mend_when_it_waits() -> None:
            deadline = time.monotonic() + 60
            while not any("waiting up to 60 s for the database" in line for line in server.output):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            wire.mend()

        threading.Thread(target=mend_when_it_waits, daemon=True).start()
        with server:
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            assert server.password
            assert "secret" not in "".join(server.output)
    drop_database(postgresql_server.url, url)


def test_it_gives_up_with_one_line_without_the_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cli.supervisor.DATABASE_SECONDS", 0.0)
    settings = Settings(data=tmp_path / "data", port=0, ui_port=0, database_url=NOBODY)
    with pytest.raises(DatabaseRefused) as caught:
        Supervisor(settings, ui=False).run()
    assert "127.0.0.1:1" in caught.value.detail
    assert "secret" not in caught.value.detail
    assert "\n" not in caught.value.detail
