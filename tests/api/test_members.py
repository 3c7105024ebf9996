"""Members of a project over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from tests.api.conftest import make_project
from tests.api.test_projects import add_item
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import Lease, User

SignUp = Callable[..., str]
Api = Callable[[str], httpx.Client]


def user_id(database: Database, email: str) -> int:
    with database.read() as session:
        return session.scalars(select(User.id).where(User.email == email)).one()


def test_members_are_added_listed_and_changed(owner: httpx.Client, sign_up: SignUp, database: Database) -> None:
    at = f"/projects/{make_project(owner)['id']}/members"
    sign_up("ann@example.org")
    added = owner.post(at, json={"email": " Ann@Example.org", "role": "annotator"})
    assert added.status_code == 201
    assert added.json().items() >= {"email": "ann@example.org", "role": "annotator"}.items()
    assert added.json()["id"] == str(user_id(database, "ann@example.org"))
    again = owner.post(at, json={"email": "ann@example.org", "role": "viewer"})
    assert (again.status_code, again.json()["role"]) == (201, "viewer")
    listed = owner.get(at).json()
    assert [(member["email"], member["role"]) for member in listed["data"]] == [
        ("owner@example.org", "manager"),
        ("ann@example.org", "viewer"),
    ]
    assert listed["next"] is None
    page = owner.get(at, params={"limit": 1}).json()
    assert owner.get(at, params={"limit": 1, "cursor": page["next"]}).json()["data"] == listed["data"][1:]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "nobody@example.org", "role": "viewer"}, "email"),
        ({"email": "no e-mail", "role": "viewer"}, "email"),
        ({"email": "owner@example.org", "role": "king"}, "role"),
    ],
)
def test_who_cannot_be_a_member_is_named(owner: httpx.Client, body: dict[str, str], field: str) -> None:
    answer = owner.post(f"/projects/{make_project(owner)['id']}/members", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", field]


def test_whoever_is_removed_is_out_at_once_and_holds_nothing(
    owner: httpx.Client, api: Api, sign_up: SignUp, database: Database
) -> None:
    project_id = int(str(make_project(owner)["id"]))
    at = f"/projects/{project_id}"
    ann = api(sign_up("ann@example.org"))
    owner.post(f"{at}/members", json={"email": "ann@example.org", "role": "annotator"})
    item = add_item(database, project_id)
    user = user_id(database, "ann@example.org")
    with database.write() as session:
        lease = Lease(
            project_id=project_id,
            item_id=item,
            user_id=user,
            seconds=300,
            expires_at=utcnow() + timedelta(minutes=5),
            mechanism="strategy",
        )
        session.add(lease)
    assert owner.delete(f"{at}/members/{user}").status_code == 204
    assert ann.get(at).status_code == 404
    with database.read() as session:
        assert session.scalars(select(Lease)).all() == []
    assert owner.delete(f"{at}/members/{user}").status_code == 404


def test_a_project_keeps_a_manager(owner: httpx.Client, sign_up: SignUp, database: Database) -> None:
    at = f"/projects/{make_project(owner)['id']}/members"
    me = user_id(database, "owner@example.org")
    assert owner.delete(f"{at}/{me}").status_code == 409
    assert owner.post(at, json={"email": "owner@example.org", "role": "viewer"}).status_code == 409
    sign_up("ann@example.org")
    owner.post(at, json={"email": "ann@example.org", "role": "manager"})
    assert owner.delete(f"{at}/{me}").status_code == 204


def test_a_role_in_one_project_is_none_in_another(owner: httpx.Client, api: Api, sign_up: SignUp) -> None:
    mine, other = make_project(owner)["id"], make_project(owner)["id"]
    ann = api(sign_up("ann@example.org"))
    owner.post(f"/projects/{mine}/members", json={"email": "ann@example.org", "role": "manager"})
    assert ann.patch(f"/projects/{mine}", json={"name": "x"}).status_code == 200
    assert ann.patch(f"/projects/{other}", json={"name": "x"}).status_code == 404
    assert [project["id"] for project in ann.get("/projects").json()["data"]] == [mine]
