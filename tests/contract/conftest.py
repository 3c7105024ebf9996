"""A real ``winnow serve`` in a folder of its own, known only by its contract, on each kind of servers behind it."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.servers.postgresql import create_database, drop_database
from tests.conftest import GivenServer, RanOn

WINNOW = Path(sys.executable).with_name("winnow")
OWNER = ("owner@example.org", "correct horse battery")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Service:
    """A running service and how to speak to it as somebody."""

    url: str
    ui_url: str
    data: Path
    process: subprocess.Popen[bytes]

    def sign_in(self, email: str = OWNER[0], password: str = OWNER[1]) -> httpx.Client:
        return self.as_token(self.token_of(email, password))

    def token_of(self, email: str, password: str) -> str:
        answer = httpx.post(f"{self.url}/v1/auth/token", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def as_token(self, token: str) -> httpx.Client:
        return httpx.Client(base_url=f"{self.url}/v1", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def anonymous(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)


@dataclass(frozen=True)
class Deployment:
    """The servers behind a service: what leads it to them, and what they are called."""

    environment: dict[str, str]
    titles: tuple[str, ...]


# Not for the session: another package may use the same broker, and a worker takes every message that it finds there.
@pytest.fixture(scope="package", params=["embedded", "redis", "rabbitmq"])
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """SQLite and the embedded broker; PostgreSQL and Redis; PostgreSQL and RabbitMQ."""
    if request.param == "embedded":
        yield Deployment({}, ("SQLite", "the embedded broker"))
        return
    database: GivenServer = request.getfixturevalue("postgresql_server")
    broker: GivenServer = request.getfixturevalue(f"{request.param}_server")
    url = create_database(database.url, "contract")
    yield Deployment(
        {"WINNOW_DATABASE_URL": url, "WINNOW_BROKER_URL": broker.url},
        (database.title, broker.title),
    )
    drop_database(database.url, url)


@pytest.fixture(autouse=True)
def listed(deployment: Deployment, ran_on: RanOn) -> None:
    """Every test here ran on these servers."""
    for title in deployment.titles:
        ran_on(title)


@pytest.fixture(scope="package")
def service(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("winnow")
    port, ui_port = free_port(), free_port()
    environment = {
        **os.environ,
        **deployment.environment,
        "WINNOW_OWNER_EMAIL": OWNER[0],
        "WINNOW_OWNER_PASSWORD": OWNER[1],
    }
    with (data / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [WINNOW, "serve", "--port", str(port), "--ui-port", str(ui_port), "--data", str(data / "data")],
            stdout=log,
            stderr=log,
            env=environment,
        )
        running = Service(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ui_port}", data, process)
        try:
            wait_until(lambda: ready(running), 60, "the service is ready")
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
            process.kill()
            process.wait()


def ready(service: Service) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{service.url}/readyz").status_code == 200
    return False


def wait_until(condition: Any, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def wait_job(client: httpx.Client, job: dict[str, Any], seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = client.get(f"/jobs/{job['id']}").raise_for_status().json()
        assert set(job) >= {"id", "kind", "state", "progress", "message", "attempt", "result", "error"}
        assert 0 <= job["progress"] <= 1
        if job["state"] in ("succeeded", "failed", "canceled"):
            return job
        time.sleep(0.05)
    pytest.fail(f"job still {job['state']} after {seconds} s: {job}")


@pytest.fixture(scope="package")
def owner_token(service: Service) -> str:
    """One sign-in for all tests: each costs the hashing of a password, which is slow by design."""
    return service.token_of(*OWNER)


@pytest.fixture
def owner(service: Service, owner_token: str) -> Iterator[httpx.Client]:
    with service.as_token(owner_token) as client:
        yield client


@dataclass
class People:
    """Makes people with roles in a project, each signed in."""

    service: Service
    owner: httpx.Client
    open_clients: ExitStack

    def join(self, project: str, role: str) -> httpx.Client:
        client, email = self.outsider()
        answer = self.owner.post(f"/projects/{project}/members", json={"email": email, "role": role})
        assert answer.status_code == 201, answer.text
        return client

    def outsider(self) -> tuple[httpx.Client, str]:
        email = f"{uuid.uuid4().hex[:12]}@example.org"
        made = self.owner.post("/users", json={"email": email, "role": "member"})
        assert made.status_code == 201, made.text
        assert made.json()["email"] == email
        return self.open_clients.enter_context(self.service.sign_in(email, made.json()["password"])), email


@pytest.fixture
def people(service: Service, owner: httpx.Client) -> Iterator[People]:
    with ExitStack() as open_clients:
        yield People(service, owner, open_clients)


SPAM = ["cheap pills now", "win money fast", "free prize click", "hot deal offer", "credit loan approved"]
HAM = ["lunch at noon", "meeting notes attached", "see you tomorrow", "the report is done", "thanks for the help"]


def texts(n: int) -> list[tuple[str, str]]:
    """``n`` different texts with their classes."""
    return [
        (
            f"{(SPAM if i % 2 else HAM)[i // 2 % 5]} number {i} {'offer' if i % 2 else 'office'}",
            "spam" if i % 2 else "ham",
        )
        for i in range(n)
    ]


def make_project(client: httpx.Client, n: int = 0, **changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"name": f"mail {uuid.uuid4().hex[:6]}", "task": "text", "labels": ["spam", "ham"]}
    body["settings"] = {"encoder": "hashed", **changes.pop("settings", {})}
    answer = client.post("/projects", json={**body, **changes})
    assert answer.status_code == 201, answer.text
    project: dict[str, Any] = answer.json()
    if n:
        rows = [{"text": text, "key": f"k{i}"} for i, (text, _) in enumerate(texts(n))]
        made = client.post(f"/projects/{project['id']}/items", json={"items": rows})
        assert made.status_code == 201, made.text
        assert made.json()["created"] == n
    return project


def truth(item: dict[str, Any]) -> str:
    """The class of one of :func:`texts`."""
    return "spam" if item["text"].endswith("offer") else "ham"


def png(shade: int, size: int = 12) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.new("L", (size, size), shade).save(out, "PNG")
    return out.getvalue()
