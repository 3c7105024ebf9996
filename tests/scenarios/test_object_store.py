"""The whole loop with all files in an object store and hardly any room for copies: from an import to a purge."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from bench.annotators import Crew, sign_in, wait_job
from bench.server import RunningServer
from bench.servers.objects import make_bucket
from tests.conftest import GivenStore, RanOn
from winnow.local_cache import LocalCache
from winnow.storage import Storage

Found = TypeVar("Found")
ROOT = Path(__file__).parents[2]


class Door:
    """Passes connections on to a server while it is open; closed, it refuses them and cuts those that there are."""

    def __init__(self, url: str) -> None:
        there = urlsplit(url)
        self._to = (there.hostname or "127.0.0.1", there.port or 80)
        self._listener: socket.socket | None = None
        self._passing: set[socket.socket] = set()
        self.port = 0
        self.open()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        for connection in (self._listener, *self._passing):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._to)
            except OSError:
                return
            self._passing |= {near, far}
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()
        self._passing.discard(source)


def until(look: Callable[[], Found], seconds: float = 90.0) -> Found:
    """What ``look`` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.fixture(scope="module")
def door(object_store: GivenStore) -> Iterator[Door]:
    made = Door(object_store.environment["AWS_ENDPOINT_URL"])
    yield made
    made.close()


@pytest.fixture(scope="module")
def environment(object_store: GivenStore, door: Door) -> dict[str, str]:
    keys = (
        {} if "WINNOW_TEST_S3_URL" in os.environ else {"AWS_SECRET_ACCESS_KEY": "that-nobody-may-read"}
    )  # to moto any
    return {
        **object_store.environment,
        **keys,
        "AWS_ENDPOINT_URL": door.url,
        "WINNOW_STORAGE_URL": f"{make_bucket(object_store.environment, 'scenario')}/winnow",
        "WINNOW_CACHE_BYTES": "2000",
        "WINNOW_JOB_LEASE_SECONDS": "2",
        "WINNOW_HEARTBEAT_SECONDS": "0.5",
        "WINNOW_MAX_ATTEMPTS": "50",
    }


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[RunningServer]:
    with RunningServer(environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Iterator[httpx.Client]:
    with sign_in(server.url, server.email, server.password) as client:
        yield client


@pytest.fixture(autouse=True)
def listed(object_store: GivenStore, ran_on: RanOn) -> None:
    ran_on(object_store.title)


@pytest.fixture
def storage(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """The service's storage, seen from outside."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Storage(environment["WINNOW_STORAGE_URL"], tmp_path)


def cached_bytes(server: RunningServer) -> int:
    return sum(entry.bytes for entry in LocalCache(server.data / "cache").entries())


def test_a_project_lives_and_ends_in_an_object_store(
    server: RunningServer, owner: httpx.Client, door: Door, storage: Storage, environment: dict[str, str]
) -> None:
    body = {"name": "fruit", "task": "text", "labels": ["apple", "pear"], "settings": {"encoder": "hashed"}}
    project = owner.post("/v1/projects", json=body).raise_for_status().json()["id"]
    here = f"/v1/projects/{project}"
    rows = "".join(f"{'red apple' if n % 2 else 'green pear'} number {n}\n" for n in range(120))
    upload = {"file": ("fruit.csv", f"text\n{rows}".encode())}
    imported = wait_job(owner, owner.post(f"{here}/imports", files=upload).raise_for_status().json())
    assert imported["result"]["created"] == 120

    crew = Crew(server.url, owner, project, lambda item: "apple" if "apple" in item["text"] else "pear")
    crew.hire(1)
    try:
        assert crew.label(30) == 30
        trained = wait_job(owner, owner.post(f"{here}/rounds").raise_for_status().json())
        assert trained["result"]["state"] == "trained"
        asked = {"items": [{"text": "a red apple"}, {"text": "a green pear"}]}
        answer = owner.post(f"{here}/predictions", json=asked).raise_for_status().json()
        assert [found["label"] for found in answer["predictions"]] == ["apple", "pear"]

        version = owner.get(f"{here}/students/current").raise_for_status().json()["version"]
        exported = wait_job(
            owner, owner.post(f"{here}/students/{version}/exports", json={"format": "onnx"}).raise_for_status().json()
        )
        bundle = exported["result"]["download_url"]
        whole = owner.get(bundle).raise_for_status()
        assert "model.onnx" in zipfile.ZipFile(io.BytesIO(whole.content)).namelist()
        part = owner.get(bundle, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        assert {path.split("/")[2] for path in storage.list(f"projects/{project}")} >= {
            "students",
            "exports",
            "encoders",
        }
        until(lambda: cached_bytes(server) <= 2000)  # which is less than one student has

        lives_through_an_outage(server, owner, door, here, bundle, crew)

        owner.delete(here, params={"confirm": "fruit", "purge": "true"}).raise_for_status()
        until(lambda: storage.list() == [])  # a job that was at work has to find out
    finally:
        crew.close()
    said = "\n".join([*server.output, *(log.read_text() for log in (server.data / "logs").iterdir())])
    assert environment["AWS_SECRET_ACCESS_KEY"] not in said


def lives_through_an_outage(
    server: RunningServer, owner: httpx.Client, door: Door, here: str, bundle: str, crew: Crew
) -> None:
    """The store is away for a while: people go on labeling, calls that need it say so, and a round waits for it."""
    door.close()
    try:
        down = owner.get(bundle)
        assert (down.status_code, down.headers["content-type"]) == (503, "application/problem+json")
        assert down.json()["type"] == "urn:winnow:problem:storage-unavailable"
        ready = until(lambda: storage_state(server) == "unreachable" and httpx.get(f"{server.url}/readyz"))
        assert (ready.status_code, ready.json()["status"]) == (200, "ready")
        assert crew.label(5) == 5
        refused = owner.post(f"{here}/imports", files={"file": ("more.csv", b"text\nplum\n")})
        assert refused.status_code == 503
        job = owner.post(f"{here}/rounds").raise_for_status().json()
        until(lambda: "storage does not answer" in owner.get(f"/v1/jobs/{job['id']}").json()["message"])
    finally:
        door.open()
    assert wait_job(owner, job)["result"]["state"] == "trained"
    assert owner.get(bundle).status_code == 200
    until(lambda: storage_state(server) == "ok")


def storage_state(server: RunningServer) -> str:
    state: str = httpx.get(f"{server.url}/readyz").json()["checks"]["storage"]
    return state


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WINNOW_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**inherited, **environment},
        timeout=120,
        check=False,
    )


def test_doctor_shows_the_store_and_what_the_cache_holds(environment: dict[str, str], tmp_path: Path) -> None:
    held = tmp_path / "cache" / "features" / "1-a.float16"
    held.parent.mkdir(parents=True)
    held.write_bytes(b"x" * (3 << 20))
    settings = {**environment, "WINNOW_DATA": str(tmp_path), "WINNOW_CACHE_BYTES": str(2 << 30)}
    found = {entry["name"]: entry for entry in json.loads(run(settings, "doctor", "--json").stdout)["checks"]}
    assert found["storage"] == {"name": "storage", "ok": True, "detail": environment["WINNOW_STORAGE_URL"]}
    assert found["cache"]["detail"] == "3.0 MB of 2.0 GB used by copies of files and features"


def test_serve_refuses_a_bucket_that_is_not_there(environment: dict[str, str], tmp_path: Path) -> None:
    settings = {**environment, "WINNOW_STORAGE_URL": "s3://nobody-made-this-one/x"}
    ended = run(settings, "serve", "--port", "0", "--no-ui", "--data", str(tmp_path))
    assert ended.returncode == 1
    assert "winnow: The storage at s3://nobody-made-this-one/x is not there: make the bucket first" in ended.stderr
    assert "Traceback" not in ended.stderr
