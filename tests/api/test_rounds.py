"""Rounds over HTTP: asking for them and reading them. What they do is in tests/worker."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.api.conftest import make_project
from winnow import rounds
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Round


@pytest.fixture
def project(owner: httpx.Client) -> str:
    return str(make_project(owner)["id"])


def record(database: Database, project: str, n: int) -> None:
    with database.write() as session:
        rounds.record_round(
            session,
            Round(
                project_id=int(project),
                n=n,
                state="trained",
                cutoff=n,
                labels=20 * n,
                strategy="auto",
                student_version=n,
                promoted=True,
                reason="no evidence that it is worse",
                metrics={"accuracy": None},
                costs={"cpu_seconds": 1.5},
                seconds=2.5,
                started_at=utcnow(),
            ),
        )


def test_asking_for_a_round_gives_its_job_and_asking_again_the_same(
    owner: httpx.Client, project: str, hints: list[tuple[str, int]]
) -> None:
    first, again = (owner.post(f"/projects/{project}/rounds") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert (first.json()["kind"], first.json()["state"]) == ("round", "queued")
    assert hints == [("round", int(first.json()["id"]))]


def test_rounds_are_listed_newest_first_page_by_page(owner: httpx.Client, project: str, database: Database) -> None:
    assert owner.get(f"/projects/{project}/rounds").json() == {"data": [], "next": None}
    for n in (1, 2, 3):
        record(database, project, n)
    first = owner.get(f"/projects/{project}/rounds", params={"limit": 2}).json()
    assert [entry["n"] for entry in first["data"]] == [3, 2]
    second = owner.get(f"/projects/{project}/rounds", params={"limit": 2, "cursor": first["next"]}).json()
    assert [entry["n"] for entry in second["data"]] == [1]
    assert second["next"] is None
    assert owner.get(f"/projects/{project}/rounds", params={"cursor": "x"}).status_code == 422


def test_a_round_says_what_it_knew_cost_and_promoted(owner: httpx.Client, project: str, database: Database) -> None:
    record(database, project, 1)
    shown = owner.get(f"/projects/{project}/rounds/1").json()
    assert (shown["n"], shown["labels"], shown["seconds"], shown["student"]) == (1, 20, 2.5, 1)
    assert (shown["promoted"], shown["reason"]) == (True, "no evidence that it is worse")
    assert shown["costs"] == {"cpu_seconds": 1.5}
    assert shown["metrics"] == {"accuracy": None}
    for n in ("2", "0", "x", "9" * 18):
        assert owner.get(f"/projects/{project}/rounds/{n}").status_code == 404


def test_who_may_see_and_who_may_run(
    owner: httpx.Client, api: Callable[[str], httpx.Client], sign_up: Callable[[str, str], str], project: str
) -> None:
    annotator, stranger = (api(sign_up(f"{name}@example.org", "member")) for name in ("annotator", "stranger"))
    owner.post(f"/projects/{project}/members", json={"email": "annotator@example.org", "role": "annotator"})
    assert annotator.get(f"/projects/{project}/rounds").status_code == 200
    assert annotator.post(f"/projects/{project}/rounds").status_code == 403
    assert stranger.get(f"/projects/{project}/rounds").status_code == 404
    assert stranger.post(f"/projects/{project}/rounds").status_code == 404
