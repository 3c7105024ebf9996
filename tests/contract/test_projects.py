"""Projects: made, listed, changed, archived; errors that name the field."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.conftest import Service, make_project
from tests.contract.test_people import problem

DEFAULTS = {"batch_size": "auto", "strategy": "auto", "overlap": 1, "holdout": "auto", "lease_seconds": 300}


def test_a_project_has_every_setting_filled_in(owner: httpx.Client) -> None:
    answer = owner.post("/projects", json={"name": "a", "task": "text", "labels": ["x", "y"]})
    assert answer.status_code == 201
    project = answer.json()
    assert isinstance(project["id"], str)
    assert [label["name"] for label in project["labels"]] == ["x", "y"]
    assert project["settings"].items() >= DEFAULTS.items()
    assert {"encoder", "teacher", "student", "budget"} <= set(project["settings"])


def test_labels_keep_what_they_were_given(owner: httpx.Client) -> None:
    label = {"name": "x", "description": "an x", "hotkey": "q", "color": "#ff0000"}
    project = make_project(owner, labels=[label, {"name": "y"}])
    assert project["labels"][0].items() >= label.items()
    assert owner.get(f"/projects/{project['id']}").json()["labels"] == project["labels"]


@pytest.mark.parametrize(
    "change",
    [
        {"task": "audio"},
        {"labels": []},
        {"labels": ["x", "x"]},
        {"name": ""},
        {"settings": {"overlap": 0}},
        {"settings": {"strategy": "os.system"}},
        {"settings": {"encoder": "/etc/passwd"}},
        {"settings": {"no_such": 1}},
    ],
)
def test_bad_input_names_the_field(owner: httpx.Client, change: dict[str, Any]) -> None:
    body = problem(owner.post("/projects", json={"name": "a", "task": "text", "labels": ["x", "y"], **change}), 422)
    errors = body["errors"]
    assert isinstance(errors, list)
    assert set(errors[0]) == {"loc", "msg"}
    assert next(iter(change)) in [str(part) for part in errors[0]["loc"]]


def test_a_body_that_is_no_json_is_a_problem(owner: httpx.Client) -> None:
    answer = owner.post("/projects", content=b"{", headers={"Content-Type": "application/json"})
    problem(answer, 422)


def test_lists_page_by_cursor(owner: httpx.Client) -> None:
    for _ in range(3):
        make_project(owner)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = owner.get("/projects", params=params).json()
        assert set(page) == {"data", "next"}
        assert len(page["data"]) <= 2
        seen += [project["id"] for project in page["data"]]
        if (cursor := page["next"]) is None:
            break
    assert len(seen) == len(set(seen)) >= 3


def test_a_change_holds(owner: httpx.Client) -> None:
    project = make_project(owner)
    changed = owner.patch(f"/projects/{project['id']}", json={"guidelines": "Be kind.", "settings": {"overlap": 2}})
    assert changed.status_code == 200
    again = owner.get(f"/projects/{project['id']}").json()
    assert again["guidelines"] == "Be kind."
    assert again["settings"]["overlap"] == 2
    assert again["settings"]["lease_seconds"] == 300


def test_archiving_asks_for_the_name(owner: httpx.Client) -> None:
    project = make_project(owner)
    at = f"/projects/{project['id']}"
    assert owner.delete(at, params={"confirm": "another"}).status_code in (409, 422)
    assert owner.delete(at).status_code in (409, 422)
    assert owner.get(at).status_code == 200
    assert owner.delete(at, params={"confirm": project["name"]}).status_code in (200, 202, 204)
    assert project["id"] not in [p["id"] for p in owner.get("/projects", params={"limit": 100}).json()["data"]]


def test_purging_leaves_nothing(owner: httpx.Client) -> None:
    project = make_project(owner, 3)
    at = f"/projects/{project['id']}"
    gone = owner.delete(at, params={"confirm": project["name"], "purge": "true"})
    assert gone.status_code in (200, 202, 204)
    problem(owner.get(at), 404)


@pytest.mark.parametrize("path", ["/projects/999999", "/projects/abc", "/jobs/999999", "/nothing"])
def test_what_is_not_there_is_404(owner: httpx.Client, path: str) -> None:
    problem(owner.get(path), 404)


def test_what_comes_later_answers_501(owner: httpx.Client) -> None:
    problem(owner.get(f"/projects/{make_project(owner)['id']}/labels?format=hf"), 501)


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'{"size": ' + b"9" * 5000 + b"}"])
def test_json_that_no_parser_can_hold_is_bad_input(owner: httpx.Client, body: bytes) -> None:
    project = make_project(owner)["id"]
    for call in ("batches", "labels", "items"):
        answer = owner.post(f"/projects/{project}/{call}", content=body, headers={"Content-Type": "application/json"})
        assert problem(answer, 422)["errors"]


def test_the_document_names_the_calls_that_come_later(service: Service) -> None:
    with service.anonymous() as client:
        paths = client.get("/openapi.json").json()["paths"]
    assert "409" in paths["/v1/projects/{p}/predictions"]["get"]["responses"]
    assert "501" in paths["/v1/projects/{p}/students/{v}/exports"]["post"]["responses"]
    assert "409" in paths["/v1/projects/{p}/students/{v}"]["get"]["responses"]
