"""A real server on a free port. Each test has a database of its own behind it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from winnow import users
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage

OWNER = ("owner@example.org", "correct horse battery")


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` from a thread; gives its address."""
    # asyncio sends small packets at once only where the socket says that it is TCP; else each answer takes 40 ms more.
    listening = socket.socket(proto=socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert server.started
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    """One server for the whole run; what it serves is swapped for each test."""
    settings = Settings(data=tmp_path_factory.mktemp("server"))
    database = Database(settings.resolved_database_url)
    app = create_app(settings, database=database, send_hint=lambda kind, job_id: None)
    with serving(app) as address:
        yield app, address
    database.dispose()


@pytest.fixture
def hints(database: Database) -> list[tuple[str, int]]:
    """The ``(kind, job id)`` hints that were sent after commits."""
    sent: list[tuple[str, int]] = []
    database.send_hint = lambda kind, job_id: sent.append((kind, job_id))
    return sent


@pytest.fixture
def app(
    shared_server: tuple[FastAPI, str],
    settings: Settings,
    database: Database,
    storage: Storage,
    hints: list[tuple[str, int]],
) -> FastAPI:
    """The served application, over this test's settings, database and storage."""
    served = shared_server[0]
    served.state.settings = settings
    served.state.database = database
    served.state.storage = storage
    served.state.send_hint = database.send_hint
    served.state.check_broker = lambda: True
    served.state.check_storage = lambda: True
    return served


@pytest.fixture
def url(app: FastAPI, shared_server: tuple[FastAPI, str]) -> str:
    """The server's address, with this test's database behind it."""
    return shared_server[1]


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    """Somebody without a token."""
    with httpx.Client(base_url=url, timeout=30) as made:
        yield made


@pytest.fixture
def sign_up(database: Database) -> Callable[[str, str], str]:
    """``sign_up(email, role)`` makes an account and gives an API token of it (no password: hashing is slow)."""

    def make(email: str, role: str = "member") -> str:
        with database.write() as session:
            user = users.add_user(session, users.NewUser(email, role, "!", None))
            return users.issue_token(session, user.id, "test", "api")[1]

    return make


@pytest.fixture
def owner_token(sign_up: Callable[[str, str], str]) -> str:
    """A token of the owner."""
    return sign_up(OWNER[0], "owner")


@pytest.fixture
def api(url: str) -> Iterator[Callable[[str], httpx.Client]]:
    """``api(token)`` is a client that bears the token, with ``/v1`` in front of its paths."""
    made: list[httpx.Client] = []

    def bearing(token: str) -> httpx.Client:
        made.append(httpx.Client(base_url=f"{url}/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30))
        return made[-1]

    yield bearing
    for client in made:
        client.close()


@pytest.fixture
def owner(api: Callable[[str], httpx.Client], owner_token: str) -> httpx.Client:
    """The owner, signed in."""
    return api(owner_token)


def make_project(client: httpx.Client, **changes: object) -> dict[str, object]:
    """A text project with the classes spam and ham, made by ``client``."""
    answer = client.post("/projects", json={"name": "mail", "task": "text", "labels": ["spam", "ham"], **changes})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made
