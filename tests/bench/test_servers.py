"""Private servers: they answer, come back after SIGKILL as they were, and can be reached from this machine only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

from bench.servers.objects import ObjectStore
from bench.servers.postgresql import PostgreSQL, create_database, drop_database
from bench.servers.process import PrivateServer, ServerDied, ServerMissing, find_program
from bench.servers.rabbitmq import RabbitMQ
from bench.servers.redis import Redis
from tests.conftest import GivenServer, given_store, served

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=[PostgreSQL, Redis, RabbitMQ, ObjectStore])
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    made: PrivateServer = request.param()
    try:
        made.start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    yield made
    made.stop()


def listens_on(server: PrivateServer) -> set[str]:
    processes = [*server.processes(), *(psutil.Process(helper.pid) for helper in server._helpers)]
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # a helper of PostgreSQL's that has done its work meanwhile
            listening = [entry for entry in process.net_connections("inet") if entry.status == psutil.CONN_LISTEN]
            found |= {entry.laddr.ip for entry in listening}
    return found


def test_a_killed_server_is_gone_and_comes_back_on_its_port(server: PrivateServer) -> None:
    processes = server.processes()
    assert server.alive
    assert "127.0.0.1" in listens_on(server) <= {"127.0.0.1", "::1"}
    url, spent = server.url, server.cpu_seconds()
    server.kill()
    assert not server.alive
    _, left = psutil.wait_procs(processes, 10)
    assert left == []
    assert server.cpu_seconds() >= spent
    server.start()
    assert server.alive
    assert server.url == url


def test_postgresql_keeps_what_was_committed_when_it_is_killed() -> None:
    server = PostgreSQL()
    try:
        server.start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with server:
        url = server.create_database().replace("+psycopg", "", 1)
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (n integer)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.kill()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
    assert not server.folder.exists()


@pytest.mark.parametrize(
    ("given", "database"),
    [
        ("postgresql+psycopg://ann:p%40ss@db:5433/first?sslmode=require", "first"),
        ("postgresql+psycopg://ann@/first?host=/run/postgresql", "first"),
        ("postgresql+psycopg://ann:secret@db", "postgres"),
    ],
    ids=["options", "socket", "no database"],
)
def test_a_database_is_made_on_a_server_however_its_url_is_written(
    given: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connect(address: str, **_options: object) -> mock.MagicMock:
        asked.append(address)
        return mock.MagicMock()

    monkeypatch.setattr(psycopg, "connect", connect)
    made = make_url(create_database(given, "A-test"))
    assert re.fullmatch(r"a_test_[0-9a-f]{8}", made.database or "")
    assert made.set(database="it") == make_url(given).set(database="it")
    drop_database(given, made.render_as_string(hide_password=False))
    wanted = make_url(given).set(drivername="postgresql", database=database)
    assert [make_url(address) for address in asked] == [wanted, wanted]


def test_as_root_without_an_account_for_it_postgresql_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PostgreSQL, "account", "nobody-is-called-so")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ServerMissing, match="refuses to run as root, and there is no account 'nobody-is-called-so'"):
        PostgreSQL().start()


def test_a_given_server_is_listed_as_what_it_is_and_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINNOW_TEST_S3_URL", "http://minio:9000")
    [given] = served("S3", "WINNOW_TEST_S3_URL", ObjectStore, lambda url: "")
    assert given_store(given).title == "S3 of WINNOW_TEST_S3_URL"
    assert given_store(given).environment["AWS_ENDPOINT_URL"] == "http://minio:9000"
    own = GivenServer("http://127.0.0.1:5000", "S3, started here", started_here=True)
    assert given_store(own).title == "S3 (moto), started here"


@pytest.mark.parametrize("kind", [PostgreSQL, Redis, RabbitMQ, ObjectStore])
def test_a_server_dies_with_the_process_that_started_it(kind: type[PrivateServer]) -> None:
    code = f"""
import time
from {kind.__module__} import {kind.__name__}
from bench.servers.process import ServerMissing
server = {kind.__name__}()
try:
    server.start()
except ServerMissing as missing:
    raise SystemExit(f"missing {{missing}}")
print(server.folder, *(process.pid for process in server.processes()), flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    starter = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with starter:
        assert starter.stdout is not None
        assert starter.stderr is not None
        said = starter.stdout.readline().split()
        if not said:
            why = starter.stderr.read()
            assert why.startswith("missing "), why
            pytest.skip(why.removeprefix("missing ").strip())
        processes = _still_there(int(pid) for pid in said[1:])
        assert processes
        starter.kill()
    try:
        assert _left(processes, 20.0) == []
    finally:
        shutil.rmtree(said[0], ignore_errors=True)


def _still_there(pids: Iterable[int]) -> list[psutil.Process]:
    """Without those that have ended since: PostgreSQL starts helpers that live for a moment."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def _left(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that still run after a while; one that nobody has waited for yet has ended all the same."""
    deadline = time.monotonic() + seconds
    while True:
        left = [process for process in processes if _runs(process)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_program_is_found_on_the_path_in_a_folder_or_in_a_wheel(tmp_path: Path) -> None:
    for folder in ("13", "15", "wheel"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "no-such-server").touch()
    folders = [tmp_path / "13", tmp_path / "15"]
    assert find_program("sh", folders, "dash", None).endswith("/sh")
    assert find_program("no-such-server", folders, "it", tmp_path / "wheel") == str(tmp_path / "15" / "no-such-server")
    assert find_program("no-such-server", [], "it", tmp_path / "wheel") == str(tmp_path / "wheel" / "no-such-server")
    with pytest.raises(ServerMissing, match=r"no-such-server is not on this machine \(install it\)"):
        find_program("no-such-server", [], "it", None)


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    class Broken(Redis):
        def _command(self) -> list[str]:
            return ["sh", "-c", "echo the disk is full >&2; exit 3"]

    server = Broken(tmp_path)
    with pytest.raises(ServerDied, match="Redis did not start: the disk is full"):
        server.start()
    assert not server.alive
    assert tmp_path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_as_root_postgresql_runs_as_its_own_user() -> None:
    server = PostgreSQL()
    try:
        server.start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    with server:
        assert server.processes()[0].username() == "postgres"
