"""Signing in and out, and what guessing gets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from winnow import security, users
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import AuditEntry, SignInFailure, Token, User

PASSWORD = "correct horse battery"
EMAIL = "ann@example.org"


@pytest.fixture
def ann(database: Database) -> int:
    with database.write() as session:
        return users.create_user(session, EMAIL, PASSWORD, "member")[0].id


def sign_in(client: httpx.Client, email: str = EMAIL, password: str = PASSWORD) -> httpx.Response:
    return client.post("/v1/auth/token", json={"email": email, "password": password})


def actions(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_a_password_buys_a_bearer_token(client: httpx.Client, ann: int) -> None:
    answer = sign_in(client, "  Ann@Example.org ")
    assert answer.status_code == 200
    assert answer.json() == {
        "access_token": answer.json()["access_token"],
        "token_type": "bearer",
        "expires_in": 12 * 3600,
    }
    me = client.get("/v1/me", headers={"Authorization": f"Bearer {answer.json()['access_token']}"})
    assert me.json() == {"id": str(ann), "email": EMAIL, "role": "member", "must_change_password": False}


def test_the_secret_is_not_in_the_database(client: httpx.Client, database: Database, ann: int) -> None:
    secret = sign_in(client).json()["access_token"]
    with database.read() as session:
        token = session.scalars(select(Token)).one()
        user = session.get_one(User, ann)
    assert secret not in (token.name, token.secret_hash)
    assert user.password_hash.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong"), ("nobody@example.org", PASSWORD), (EMAIL, ""), (EMAIL, "x" * 5000)]
)
def test_a_wrong_password_and_an_unknown_email_answer_alike(
    client: httpx.Client, database: Database, ann: int, email: str, password: str
) -> None:
    answer = sign_in(client, email, password)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["detail"] == "The e-mail or the password is wrong."
    assert actions(database) == ["user.sign_in_failed"]


def test_the_sixth_guess_in_a_row_has_to_wait_longer_and_longer(
    client: httpx.Client, database: Database, ann: int
) -> None:
    assert [sign_in(client, password=f"guess {i}").status_code for i in range(5)] == [401] * 5
    first = sign_in(client)
    assert first.status_code == 429
    assert first.headers["content-type"] == "application/problem+json"
    assert 1 <= int(first.headers["retry-after"]) <= 15
    with database.write() as session:
        for failure in session.scalars(select(SignInFailure)):
            failure.at = utcnow() - timedelta(seconds=20)
    assert sign_in(client, password="guess 6").status_code == 401
    assert 16 <= int(sign_in(client).headers["retry-after"]) <= 30


def test_waiting_it_out_and_the_right_password_clear_the_slate(
    client: httpx.Client, database: Database, ann: int
) -> None:
    for i in range(5):
        sign_in(client, password=f"guess {i}")
    with database.write() as session:
        for failure in session.scalars(select(SignInFailure)):
            failure.at = utcnow() - timedelta(seconds=20)
    assert sign_in(client).status_code == 200
    with database.read() as session:
        assert session.scalars(select(SignInFailure)).all() == []


def test_many_right_passwords_at_once_are_no_guessing(client: httpx.Client, url: str, ann: int) -> None:
    def code(_: int) -> int:
        with httpx.Client(base_url=url, timeout=30) as own:
            return sign_in(own).status_code

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(code, range(16))) == [200] * 16


def test_an_unknown_email_costs_a_verification_too(
    client: httpx.Client, ann: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent = []
    real = security._HASHER.verify
    monkeypatch.setattr(
        security,
        "_HASHER",
        SimpleNamespace(verify=lambda *args: spent.append(args) or real(*args), hash=security._HASHER.hash),
    )
    sign_in(client, "nobody@example.org", "x")
    sign_in(client, EMAIL, "x")
    assert [args[0].split("$")[:4] for args in spent] == [["", "argon2id", "v=19", "m=19456,t=2,p=1"]] * 2


def test_a_token_ends_when_its_time_is_up(client: httpx.Client, database: Database, ann: int) -> None:
    secret = sign_in(client).json()["access_token"]
    with database.write() as session:
        session.scalars(select(Token)).one().expires_at = utcnow() - timedelta(seconds=1)
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_signing_out_ends_this_token_only(client: httpx.Client, api: Callable[[str], httpx.Client], ann: int) -> None:
    first, second = (api(sign_in(client).json()["access_token"]) for _ in range(2))
    assert first.delete("/auth/token").status_code == 204
    assert first.get("/me").status_code == 401
    assert second.get("/me").status_code == 200


def test_a_disabled_account_is_out_at_once(client: httpx.Client, database: Database, ann: int) -> None:
    secret = sign_in(client).json()["access_token"]
    with database.write() as session:
        session.get_one(User, ann).disabled_at = utcnow()
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 401
    assert sign_in(client).status_code == 401


def test_a_new_password_ends_other_sign_ins_and_keeps_api_tokens(
    client: httpx.Client, api: Callable[[str], httpx.Client], ann: int
) -> None:
    here, elsewhere = (api(sign_in(client).json()["access_token"]) for _ in range(2))
    script = api(here.post("/tokens", json={"name": "script"}).json()["token"])
    assert here.post("/me/password", json={"current": PASSWORD, "new": "another good one"}).status_code == 204
    assert [c.get("/me").status_code for c in (here, elsewhere, script)] == [200, 401, 200]
    assert sign_in(client).status_code == 401
    assert sign_in(client, password="another good one").status_code == 200


@pytest.mark.parametrize(
    ("current", "new", "field"), [("wrong", "another good one", "current"), (PASSWORD, "short", "new")]
)
def test_a_password_change_says_which_field_is_at_fault(
    client: httpx.Client, api: Callable[[str], httpx.Client], ann: int, current: str, new: str, field: str
) -> None:
    answer = api(sign_in(client).json()["access_token"]).post("/me/password", json={"current": current, "new": new})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", field]


def test_a_generated_password_has_to_be_changed(owner: httpx.Client, client: httpx.Client) -> None:
    made = owner.post("/users", json={"email": "bob@example.org", "role": "member"}).json()
    signed_in = sign_in(client, "bob@example.org", made["password"]).json()
    headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
    assert client.get("/v1/me", headers=headers).json()["must_change_password"] is True
    body = {"current": made["password"], "new": "a new good one"}
    assert client.post("/v1/me/password", json=body, headers=headers).status_code == 204
    assert client.get("/v1/me", headers=headers).json()["must_change_password"] is False


def test_anonymous_calls_are_refused_before_anything_else(client: httpx.Client) -> None:
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/projects"), ("GET", "/v1/nothing"), ("DELETE", "/v1/x/1")):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["status"]) == (401, 401)
    assert client.get("/v1/me", headers={"Authorization": "Basic abc"}).status_code == 401
    assert client.get("/v1/me", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_every_route_below_v1_asks_for_a_token(app: FastAPI) -> None:
    open_to_all = {
        (path, method)
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if path.startswith("/v1") and not operation.get("security")
    }
    assert open_to_all == {("/v1/auth/token", "post")}
