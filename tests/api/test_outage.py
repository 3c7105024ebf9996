"""A database that is away: 503 while it lasts, and nothing is lost or done twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tests.api.conftest import make_project
from tests.wire import Wire, wired
from winnow.db.session import Database
from winnow.db.tables import Label

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)


@pytest.fixture
def wire(database: Database, app: FastAPI) -> Iterator[Wire]:
    """The application's way to its database."""
    with wired(database.url) as (wire, url):
        app.state.database = through = Database(url)
        yield wire
        through.dispose()


def label(owner: httpx.Client, project: str, item: str, request: str) -> httpx.Response:
    return owner.post(
        f"/projects/{project}/labels", json={"labels": [{"item": item, "label": "spam", "request_id": request}]}
    )


def pool(owner: httpx.Client) -> tuple[str, str]:
    """A project, and an item in it."""
    project = str(make_project(owner)["id"])
    owner.post(f"/projects/{project}/items", json={"items": [{"text": "win"}]}).raise_for_status()
    batch = owner.post(f"/projects/{project}/batches", json={"size": 1}).json()
    return project, batch["items"][0]["id"]


@on_postgresql
def test_while_the_database_is_away_every_call_says_when_to_come_back(
    owner: httpx.Client, client: httpx.Client, wire: Wire
) -> None:
    project, item = pool(owner)
    wire.cut()
    for answer in (
        owner.get("/projects"),
        owner.get(f"/projects/{project}/stats"),
        owner.post(f"/projects/{project}/batches", json={"size": 1}),
        label(owner, project, item, "a"),
        owner.post(f"/projects/{project}/labels", json={"labels": "nonsense"}),
        owner.post(f"/projects/{project}/rounds"),
        client.post("/v1/auth/token", json={"email": "a@example.org", "password": "correct horse"}),
    ):
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["type"] == "urn:winnow:problem:unavailable"
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json()["checks"]["database"] == "unreachable"
    wire.mend()
    assert label(owner, project, item, "a").status_code == 201


@on_postgresql
def test_connections_that_died_while_nobody_looked_are_replaced(
    owner: httpx.Client, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("winnow.db.session._RESTED_SECONDS", 0.0)
    assert owner.get("/projects").status_code == 200
    wire.cut()
    wire.mend()
    assert owner.get("/projects").status_code == 200


@on_postgresql
def test_labels_whose_commit_was_never_answered_are_written_once(
    owner: httpx.Client, wire: Wire, database: Database
) -> None:
    project, item = pool(owner)
    wire.swallow_answers_to_commits()
    assert label(owner, project, item, "a").status_code == 503
    assert wire.lost_answers == 1
    with database.read() as session:
        [written] = session.scalars(select(Label.id)).all()
    again = label(owner, project, item, "a")
    assert again.status_code == 201
    assert again.json()["accepted"] == [{"item": item, "id": str(written)}]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Label)) == 1


@on_postgresql
def test_a_batch_whose_commit_was_never_answered_is_among_the_leases(owner: httpx.Client, wire: Wire) -> None:
    project = str(make_project(owner)["id"])
    owner.post(f"/projects/{project}/items", json={"items": [{"text": "win"}]}).raise_for_status()
    wire.swallow_answers_to_commits()
    assert owner.post(f"/projects/{project}/batches", json={"size": 1}).status_code == 503
    assert owner.post(f"/projects/{project}/batches", json={"size": 1}).json()["items"] == []
    [held] = owner.get(f"/projects/{project}/leases").json()["data"]
    assert held["item"]["text"] == "win"


@on_postgresql
def test_an_upload_whose_commit_was_never_answered_keeps_its_file(
    owner: httpx.Client, wire: Wire, app: FastAPI
) -> None:
    project = str(make_project(owner)["id"])
    wire.swallow_answers_to_commits()
    upload = {"file": ("rows.csv", b"text\none\n", "text/csv")}
    assert owner.post(f"/projects/{project}/imports", files=upload).status_code == 503
    assert len(app.state.storage.list(f"incoming/{project}")) == 1


def sqlite_says(code: int) -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (sqlite_says(sqlite3.SQLITE_BUSY), 503),
        (sqlite_says(sqlite3.SQLITE_FULL), 503),
        (sqlite_says(sqlite3.SQLITE_ERROR), 500),
        (PoolTimeout("QueuePool limit reached"), 503),
    ],
    ids=["busy", "disk full", "wrong statement", "no connection left"],
)
@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_database_with_too_much_to_do_is_told_from_a_bug(
    owner: httpx.Client, app: FastAPI, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("api.routes.projects.projects.list_projects", fail)
    assert owner.get("/projects").status_code == status


def test_every_call_documents_that_the_database_may_be_away(app: FastAPI) -> None:
    for path, calls in app.openapi()["paths"].items():
        if path.startswith("/v1/"):
            for call in calls.values():
                assert "Retry-After" in call["responses"]["503"]["headers"]
