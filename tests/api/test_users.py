"""Accounts and API tokens over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import select

from tests.api.conftest import make_project
from winnow.db.session import Database
from winnow.db.tables import AuditEntry

SignUp = Callable[..., str]
Api = Callable[[str], httpx.Client]


def test_the_owner_makes_accounts(owner: httpx.Client, client: httpx.Client) -> None:
    body = {"email": "Bob@Example.org", "password": "a good password", "role": "admin"}
    made = owner.post("/users", json=body)
    assert made.status_code == 201
    assert made.json().items() >= {"email": "bob@example.org", "role": "admin", "password": None}.items()
    signed_in = client.post("/v1/auth/token", json={"email": "bob@example.org", "password": "a good password"})
    assert signed_in.status_code == 200
    assert owner.post("/users", json=body).status_code == 409


def test_a_missing_password_is_generated_and_shown_once(owner: httpx.Client, client: httpx.Client) -> None:
    made = owner.post("/users", json={"email": "bob@example.org", "role": "member"}).json()
    assert len(made["password"]) == 23
    assert "password" not in owner.get("/users").json()["data"][1]
    signed_in = client.post("/v1/auth/token", json={"email": "bob@example.org", "password": made["password"]})
    assert signed_in.status_code == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [({"email": "bob"}, "email"), ({"password": "short"}, "password"), ({"role": "owner"}, "role"), ({"x": 1}, "x")],
)
def test_what_cannot_be_an_account_is_named(owner: httpx.Client, change: dict[str, object], field: str) -> None:
    answer = owner.post("/users", json={"email": "bob@example.org", "role": "member", **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", field]
    assert "short" not in answer.text


@pytest.mark.parametrize("role", ["admin", "member"])
def test_nobody_else_makes_or_sees_accounts(api: Api, sign_up: SignUp, role: str) -> None:
    client = api(sign_up("ann@example.org", role))
    assert client.post("/users", json={"email": "x@example.org", "role": "member"}).status_code == 403
    assert client.get("/users").status_code == 403


def test_accounts_page(owner: httpx.Client, sign_up: SignUp) -> None:
    for name in "abc":
        sign_up(f"{name}@example.org")
    first = owner.get("/users", params={"limit": 3}).json()
    second = owner.get("/users", params={"limit": 3, "cursor": first["next"]}).json()
    emails = [user["email"][0] for user in first["data"] + second["data"]]
    assert (emails, second["next"]) == (["o", "a", "b", "c"], None)


def test_a_token_works_until_it_is_deleted(owner: httpx.Client, api: Api, database: Database) -> None:
    made = owner.post("/tokens", json={"name": "script"})
    assert made.status_code == 201
    assert made.json()["token"].startswith("wn_")
    script = api(made.json()["token"])
    assert script.get("/me").json()["email"] == "owner@example.org"
    listed = owner.get("/tokens").json()["data"]
    assert listed[0] == {key: made.json()[key] for key in ("id", "name", "created_at")}
    assert owner.delete(f"/tokens/{made.json()['id']}").status_code == 204
    assert script.get("/me").status_code == 401
    assert owner.delete(f"/tokens/{made.json()['id']}").status_code == 404
    with database.read() as session:
        assert list(session.scalars(select(AuditEntry.action))) == ["token.create", "token.delete"]


def test_tokens_page_newest_first_and_hold_nobody_elses(owner: httpx.Client, api: Api, sign_up: SignUp) -> None:
    made = [owner.post("/tokens", json={"name": name}).json()["id"] for name in ("one", "two", "three", "four")]
    api(sign_up("eve@example.org")).post("/tokens", json={"name": "hers"}).raise_for_status()
    owner.delete(f"/tokens/{made[2]}")
    first = owner.get("/tokens", params={"limit": 2}).json()
    second = owner.get("/tokens", params={"limit": 2, "cursor": first["next"]}).json()
    names = [[token["name"] for token in page["data"]] for page in (first, second)]
    assert (names, first["next"], second["next"]) == ([["four", "two"], ["one", "test"]], made[1], None)
    assert owner.get("/tokens", params={"limit": 3}).json()["next"] == made[0]
    assert owner.get("/tokens", params={"limit": 0}).status_code == 422
    answer = owner.get("/tokens", params={"cursor": "two"})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", "cursor"])


def test_nobody_deletes_the_token_of_another(owner: httpx.Client, api: Api, sign_up: SignUp) -> None:
    token = owner.post("/tokens", json={"name": "script"}).json()["id"]
    assert api(sign_up("eve@example.org", "admin")).delete(f"/tokens/{token}").status_code == 404


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
def test_a_token_has_a_name(owner: httpx.Client, name: str) -> None:
    answer = owner.post("/tokens", json={"name": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "name"]


def test_every_change_to_people_and_projects_leaves_a_trace(
    owner: httpx.Client, client: httpx.Client, api: Api, sign_up: SignUp, database: Database
) -> None:
    sign_up("ann@example.org")
    body = {"email": "bob@example.org", "password": "a good password", "role": "member"}
    bob = owner.post("/users", json=body).json()["id"]
    at = f"/projects/{make_project(owner)['id']}"
    ann = owner.post(f"{at}/members", json={"email": "ann@example.org", "role": "viewer"}).json()["id"]
    owner.delete(f"{at}/members/{ann}")
    owner.patch(at, json={"guidelines": "x"})
    owner.delete(at, params={"confirm": "mail"})
    signed_in = api(
        client.post("/v1/auth/token", json={k: body[k] for k in ("email", "password")}).json()["access_token"]
    )
    signed_in.post("/me/password", json={"current": "a good password", "new": "a better password"})
    signed_in.delete("/auth/token")
    with database.read() as session:
        trail = session.execute(
            select(AuditEntry.action, AuditEntry.user_id, AuditEntry.detail).order_by(AuditEntry.id)
        )
        rows = [tuple(row) for row in trail]
        addresses = set(session.scalars(select(AuditEntry.address)))
    me = int(owner.get("/me").json()["id"])
    assert rows == [
        ("user.create", me, {"user": bob, "email": "bob@example.org", "role": "member"}),
        ("project.create", me, {"name": "mail"}),
        ("member.add", me, {"user": ann, "role": "viewer"}),
        ("member.remove", me, {"user": ann}),
        ("project.update", me, {"fields": ["guidelines"]}),
        ("project.archive", me, {"name": "mail"}),
        ("user.sign_in", int(bob), {}),
        ("user.change_password", int(bob), {}),
        ("user.sign_out", int(bob), {}),
    ]
    assert addresses == {"127.0.0.1"}
