"""Sign-in, tokens, users, members: who may do what."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.conftest import OWNER, People, Service, make_project


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, object] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    return body


def test_sign_in_gives_a_bearer_token(service: Service) -> None:
    answer = httpx.post(f"{service.url}/v1/auth/token", json={"email": OWNER[0], "password": OWNER[1]})
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "token_type", "expires_in"}
    assert answer.json()["token_type"] == "bearer"
    assert answer.json()["expires_in"] > 0


def test_a_wrong_password_is_401_and_guessing_is_slowed(service: Service) -> None:
    codes = [
        httpx.post(
            f"{service.url}/v1/auth/token", json={"email": "guess@example.org", "password": f"no{i}"}
        ).status_code
        for i in range(12)
    ]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_without_a_token_all_is_401(service: Service) -> None:
    with service.anonymous() as client:
        for path in ("/v1/me", "/v1/projects", "/v1/projects/1", "/v1/jobs/1", "/v1/projects/1/labels"):
            problem(client.get(path), 401)
        problem(client.get("/v1/me", headers={"Authorization": "Bearer nonsense"}), 401)
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")


def test_an_api_token_works_until_it_is_deleted(service: Service, owner: httpx.Client) -> None:
    made = owner.post("/tokens", json={"name": "script"})
    assert made.status_code == 201
    assert set(made.json()) >= {"id", "name", "token"}
    with service.as_token(made.json()["token"]) as client:
        assert client.get("/me").status_code == 200
        assert client.get("/me").json()["email"] == OWNER[0]
        assert owner.delete(f"/tokens/{made.json()['id']}").status_code in (200, 204)
        problem(client.get("/me"), 401)


def test_a_user_with_a_password_of_their_own_gets_none_back(service: Service, owner: httpx.Client) -> None:
    body = {"email": "own@example.org", "password": "a long enough one", "role": "admin"}
    made = owner.post("/users", json=body)
    assert made.status_code == 201
    assert made.json().get("password") is None
    service.sign_in("own@example.org", "a long enough one").close()
    problem(owner.post("/users", json=body), 409)


def test_only_the_owner_makes_users(people: People) -> None:
    client, _ = people.outsider()
    problem(client.post("/users", json={"email": "x@example.org", "role": "member"}), 403)


@pytest.mark.parametrize("role", ["manager", "annotator", "viewer"])
def test_roles_hold(people: People, owner: httpx.Client, role: str) -> None:
    project = make_project(owner, 4)["id"]
    client = people.join(project, role)
    at = f"/projects/{project}"
    assert client.get(at).status_code == 200
    assert client.get(f"{at}/stats").status_code == 200
    labels = client.post(f"{at}/batches", json={"size": 1})
    assert labels.status_code == (403 if role == "viewer" else 200)
    for call in (
        client.post(f"{at}/items", json={"items": [{"text": "one more"}]}),
        client.patch(at, json={"guidelines": "new"}),
        client.post(f"{at}/rounds"),
    ):
        assert (call.status_code == 403) == (role != "manager"), call.text
    members = owner.get(f"{at}/members").json()["data"]
    assert role in {member["role"] for member in members}


def test_a_foreign_project_is_not_there(people: People, owner: httpx.Client) -> None:
    project = make_project(owner, 2)["id"]
    client, _ = people.outsider()
    at = f"/projects/{project}"
    for path in ("", "/stats", "/items", "/labels", "/members", "/rounds", "/students", "/leases"):
        problem(client.get(at + path), 404)
    problem(client.post(f"{at}/batches", json={"size": 1}), 404)
    problem(client.post(f"{at}/labels", json={"labels": []}), 404)
    problem(client.delete(at, params={"confirm": "x"}), 404)
    assert client.get("/projects").json() == {"data": [], "next": None}


def test_a_member_who_was_removed_knows_nothing_any_more(people: People, owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    client = people.join(project, "annotator")
    user = client.get("/me").json()["id"]
    assert owner.delete(f"/projects/{project}/members/{user}").status_code in (200, 204)
    problem(client.get(f"/projects/{project}"), 404)
