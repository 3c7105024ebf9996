"""Imports over HTTP: what is taken in, and what is refused at once."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.api.conftest import make_project
from tests.api.test_items import at
from winnow import jobs
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.importing.run import run_import
from winnow.jobs import JobContext
from winnow.settings import Settings
from winnow.storage import Storage


def upload(client: httpx.Client, project: dict[str, Any], name: str, data: bytes, **fields: str) -> httpx.Response:
    return client.post(at(project, "imports"), files={"file": (name, data)}, data=fields)


def test_an_upload_becomes_a_job_that_a_worker_can_do(
    owner: httpx.Client, hints: list[tuple[str, int]], database: Database, storage: Storage, settings: Settings
) -> None:
    project = make_project(owner)
    answer = upload(owner, project, "../in.csv", b"body\nhello\n", mapping=json.dumps({"text": "body"}))
    assert answer.status_code == 202
    job = answer.json()
    assert (job["kind"], job["state"], job["progress"], job["result"], job["error"]) == (
        "import",
        "queued",
        0,
        None,
        None,
    )
    assert hints == [("import", int(job["id"]))]
    with database.write() as session:
        claimed = jobs.claim(session, int(job["id"]), "test", settings)
        assert claimed is not None
        assert (claimed.payload["filename"], claimed.payload["bytes"]) == ("in.csv", 11)
        context = JobContext(database, claimed, settings)
    run_import(database, storage, settings, context)
    assert [item["text"] for item in owner.get(at(project)).json()["data"]] == ["hello"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"format": "xls"}, "format"),
        ({"mapping": "{"}, "mapping"),
        ({"mapping": "[1]"}, "mapping"),
        ({"mapping": '{"text": 1}'}, "mapping"),
        ({"mapping": '{"body": "text"}'}, "mapping"),
        ({"labels": "some"}, "labels"),
        ({"on_duplicate": "die"}, "on_duplicate"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_and_nothing_is_kept(
    owner: httpx.Client, database: Database, storage: Storage, fields: dict[str, str], field: str
) -> None:
    answer = upload(owner, make_project(owner), "in.csv", b"text\na\n", **fields)
    assert answer.status_code == 422
    assert field in answer.json()["errors"][0]["loc"]
    with database.read() as session:
        assert session.scalar(select(Job.id)) is None
    assert storage.list("") == []


def test_an_upload_needs_a_file(owner: httpx.Client) -> None:
    project = make_project(owner)
    assert owner.post(at(project, "imports"), files={"other": ("a", b"b")}).status_code == 422
    assert owner.post(at(project, "imports"), content=b"text\n").status_code == 422
    assert owner.post(at(project, "imports"), data={"file": "a"}).status_code == 422


def test_what_comes_later_says_so(owner: httpx.Client) -> None:
    project = make_project(owner)
    assert owner.post(at(project, "imports"), json={"url": "http://127.0.0.1/"}).status_code == 501
    for format in ("label-studio", "doccano"):
        assert upload(owner, project, "x", b"x", format=format).status_code == 501


def test_an_upload_over_the_limit_is_413_before_it_is_read(owner: httpx.Client, storage: Storage) -> None:
    project = make_project(owner)
    connection = http.client.HTTPConnection(owner.base_url.host, owner.base_url.port)
    connection.putrequest("POST", f"/v1{at(project, 'imports')}")
    connection.putheader("Authorization", owner.headers["authorization"])
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(1 << 40))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert storage.list("") == []
