"""Jobs over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.api.conftest import make_project
from winnow import jobs
from winnow.db.session import Database
from winnow.errors import Invalid
from winnow.settings import Settings


@pytest.fixture
def project(owner: httpx.Client) -> str:
    return str(make_project(owner)["id"])


def ask(owner: httpx.Client, project: str) -> str:
    answer = owner.post(f"/projects/{project}/rounds")
    assert answer.status_code == 202
    return str(answer.json()["id"])


def test_a_queued_job_as_the_contract_shows_it(owner: httpx.Client, project: str) -> None:
    job_id = ask(owner, project)
    shown = owner.get(f"/jobs/{job_id}").json()
    assert isinstance(shown["id"], str)
    assert {name: shown[name] for name in ("kind", "state", "progress", "message", "attempt", "result", "error")} == {
        "kind": "round",
        "state": "queued",
        "progress": 0.0,
        "message": "",
        "attempt": 0,
        "result": None,
        "error": None,
    }
    assert shown["project"] == project
    assert shown["created_at"].endswith("Z")


def test_a_failed_job_shows_its_problem(
    owner: httpx.Client, project: str, database: Database, settings: Settings
) -> None:
    job_id = int(ask(owner, project))
    with database.write() as session:
        job = jobs.claim(session, job_id, "w", settings)
        assert job is not None
        jobs.fail(session, job_id, job.attempt, jobs.problem_of(Invalid("Too little memory.")))
    shown = owner.get(f"/jobs/{job_id}").json()
    assert (shown["state"], shown["attempt"], shown["result"]) == ("failed", 1, None)
    assert set(shown["error"]) == {"type", "title", "status", "detail"}
    assert shown["error"]["detail"] == "Too little memory."


def test_canceling(owner: httpx.Client, project: str, database: Database, settings: Settings) -> None:
    job_id = ask(owner, project)
    answer = owner.delete(f"/jobs/{job_id}")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["result"]) == ("canceled", None)
    assert owner.get(f"/jobs/{job_id}").json()["state"] == "canceled"
    assert owner.delete(f"/jobs/{job_id}").status_code == 200

    done = int(ask(owner, project))
    with database.write() as session:
        assert jobs.claim(session, done, "w", settings) is not None
        jobs.finish(session, done, 1, {})
    refused = owner.delete(f"/jobs/{done}")
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_job_is_for_the_members_of_its_project(
    owner: httpx.Client,
    client: httpx.Client,
    api: Callable[[str], httpx.Client],
    sign_up: Callable[[str, str], str],
    project: str,
) -> None:
    job_id = ask(owner, project)
    stranger, annotator = (api(sign_up(f"{name}@example.org", "member")) for name in ("stranger", "annotator"))
    body = {"email": "annotator@example.org", "role": "annotator"}
    assert owner.post(f"/projects/{project}/members", json=body).status_code == 201
    assert client.get(f"/v1/jobs/{job_id}").status_code == 401
    assert stranger.get(f"/jobs/{job_id}").status_code == 404
    assert stranger.delete(f"/jobs/{job_id}").status_code == 404
    assert annotator.get(f"/jobs/{job_id}").status_code == 200
    assert annotator.delete(f"/jobs/{job_id}").status_code == 403
    assert owner.get(f"/jobs/{job_id}").json()["state"] == "queued"


def test_whoever_asked_for_a_job_can_cancel_it(
    owner: httpx.Client,
    api: Callable[[str], httpx.Client],
    sign_up: Callable[[str, str], str],
    project: str,
    database: Database,
) -> None:
    viewer = api(sign_up("viewer@example.org", "member"))
    owner.post(f"/projects/{project}/members", json={"email": "viewer@example.org", "role": "viewer"})
    me = int(viewer.get("/me").json()["id"])
    with database.write() as session:
        mine = jobs.create_job(session, "export", int(project), {}, me).id
        theirs = jobs.create_job(session, "export", int(project), {}).id
    assert viewer.delete(f"/jobs/{mine}").json()["state"] == "canceled"
    assert viewer.delete(f"/jobs/{theirs}").status_code == 403


@pytest.mark.parametrize("job_id", ["0", "-1", "x", "99999", "9" * 40, "1.0", "%00"])
def test_what_is_no_job_is_not_found(owner: httpx.Client, job_id: str) -> None:
    assert owner.get(f"/jobs/{job_id}").status_code == 404
    assert owner.delete(f"/jobs/{job_id}").status_code == 404
