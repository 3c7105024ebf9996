"""A project that was begun on SQLite goes on, behind a real server, where it was copied to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.server import RunningServer
from bench.servers.postgresql import create_database, drop_database
from tests.contract.conftest import wait_job

ROOT = Path(__file__).parents[2]
OWNER = {"WINNOW_OWNER_EMAIL": "ann@example.org", "WINNOW_OWNER_PASSWORD": "correct horse"}


@contextmanager
def signed_in(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client:
        account = {"email": "ann@example.org", "password": "correct horse"}
        token = client.post("/auth/token", json=account).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def label_some(client: httpx.Client, project: str, n: int) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    while len(said) < n:
        items = client.post(f"/projects/{project}/batches", json={"size": 10}).json()["items"]
        labels = [
            {"item": item["id"], "label": "spam" if "pills" in item["text"] else "ham", "lease": item["lease"]["id"]}
            for item in items
        ]
        answer = client.post(f"/projects/{project}/labels", json={"labels": labels}).json()
        assert answer["rejected"] == []
        said += answer["accepted"]
    return said


def train(client: httpx.Client, project: str) -> dict[str, Any]:
    job = wait_job(client, client.post(f"/projects/{project}/rounds").json())
    assert job["state"] == "succeeded", job
    result: dict[str, Any] = job["result"]
    return result


def asked(client: httpx.Client, project: str) -> Any:
    texts = [{"text": "buy cheap pills now"}, {"text": "the meeting is at noon"}]
    return client.post(f"/projects/{project}/predictions", json={"items": texts, "version": 1}).json()


def listed(client: httpx.Client, project: str) -> list[str]:
    return client.get(f"/projects/{project}/labels", params={"all": True}).text.splitlines()


@pytest.mark.slow
def test_a_project_goes_on_where_it_was_copied_to(tmp_path, postgresql_server, ran_on):
    ran_on(postgresql_server.title)
    laptop, url = tmp_path / "laptop", create_database(postgresql_server.url, "copied")
    with RunningServer(data=laptop, environment=OWNER) as server, signed_in(server) as client:
        made = {"name": "mail", "task": "text", "labels": ["spam", "ham"], "settings": {"encoder": "hashed"}}
        project = client.post("/projects", json=made).json()["id"]
        items = [
            {"key": str(n), "text": f"{'cheap pills' if n % 2 else 'meeting at noon'} {n} {'x' * (n % 7)}"}
            for n in range(200)
        ]
        assert client.post(f"/projects/{project}/items", json={"items": items}).json()["created"] == 200
        label_some(client, project, 30)
        assert train(client, project)["student"] == 1
        last = label_some(client, project, 1)[-1]
        export = wait_job(
            client, client.post(f"/projects/{project}/students/1/exports", json={"format": "onnx-int8"}).json()
        )
        before, predictions, rounds = listed(client, project), asked(client, project), train(client, project)["round"]
        bundle = client.get(export["result"]["download_url"].removeprefix("/v1")).content

    done = subprocess.run(
        [
            *(sys.executable, "-m", "cli.main", "copy", f"sqlite:///{laptop / 'winnow.db'}", url),
            *("--project", "mail", "--to-storage", (tmp_path / "files").as_uri()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    there = {"WINNOW_DATABASE_URL": url, "WINNOW_STORAGE_URL": (tmp_path / "files").as_uri()}
    with RunningServer(data=tmp_path / "server", environment=there) as server, signed_in(server) as client:
        assert server.email == ""  # the owner came along: no other one was made
        assert listed(client, project) == before
        assert asked(client, project) == predictions
        again = client.get(f"/projects/{project}/students/1/exports/{export['id']}")
        assert again.content == bundle
        undone = client.delete(f"/projects/{project}/labels/{last['id']}")
        assert undone.json()["item"]["id"] == last["item"]
        label_some(client, project, 20)
        result = train(client, project)
        assert result["round"] > rounds
        stats = client.get(f"/projects/{project}/stats").json()
        assert stats["labeled"] == len(before) - 1 + 20
        assert stats["freshness"]
    drop_database(postgresql_server.url, url)
