"""Who gets which answer: every method and route, for every kind of caller, in their own project and in a foreign one.

The table is written by hand from the contract; that it names every route is checked against the application's routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from tests.hostile.world import PLACES, ROLES, World, bearing, make_world, problem_of
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import WorkerSeen
from winnow.settings import Settings
from winnow.storage import Storage

# One column for each of:     owner admin manager annotator viewer outsider anonymous; "yes" is the route's success.
_EVERYBODY = "                yes   yes   yes     yes       yes    yes      yes"
_SIGNED_IN = "                yes   yes   yes     yes       yes    yes      401"
_OWNER = "                    yes   403   403     403       403    403      401"
_NO_ONES = "                  404   404   404     404       404    404      401"
_MEMBERS = "                  yes   yes   yes     yes       yes    404      401"
_MANAGERS = "                 yes   yes   yes     403       403    404      401"
_LABELERS = "                 yes   yes   yes     yes       403    404      401"
_READERS = "                  yes   yes   yes     403       yes    404      401"
# In a project that only a stranger is a member of: owners and admins manage every project.
_STRANGER = "                 yes   yes   404     404       404    404      401"

#: Route → the status of a success, the answers in one's own project (or with one's own things), those in a foreign one.
TABLE: dict[str, tuple[int, str, str]] = {
    "GET /healthz": (200, _EVERYBODY, _EVERYBODY),
    "GET /readyz": (200, _EVERYBODY, _EVERYBODY),
    "GET /metrics": (501, _EVERYBODY, _EVERYBODY),
    "GET /openapi.json": (200, _EVERYBODY, _EVERYBODY),
    "HEAD /openapi.json": (200, _EVERYBODY, _EVERYBODY),
    "POST /v1/auth/token": (422, _EVERYBODY, _EVERYBODY),
    "DELETE /v1/auth/token": (204, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/me": (200, _SIGNED_IN, _SIGNED_IN),
    "POST /v1/me/password": (422, _SIGNED_IN, _SIGNED_IN),
    "POST /v1/tokens": (201, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/tokens": (200, _SIGNED_IN, _SIGNED_IN),
    "DELETE /v1/tokens/{token}": (204, _SIGNED_IN, _NO_ONES),
    "POST /v1/users": (201, _OWNER, _OWNER),
    "GET /v1/users": (200, _OWNER, _OWNER),
    "POST /v1/projects": (201, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/projects": (200, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/strategies": (200, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/teachers": (200, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/student-families": (200, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/llm-endpoints": (200, _SIGNED_IN, _SIGNED_IN),
    "GET /v1/projects/{p}": (200, _MEMBERS, _STRANGER),
    "PATCH /v1/projects/{p}": (200, _MANAGERS, _STRANGER),
    "DELETE /v1/projects/{p}": (204, _MANAGERS, _STRANGER),
    "POST /v1/projects/{p}/members": (201, _MANAGERS, _STRANGER),
    "GET /v1/projects/{p}/members": (200, _MANAGERS, _STRANGER),
    "DELETE /v1/projects/{p}/members/{user}": (204, _MANAGERS, _STRANGER),
    "POST /v1/projects/{p}/items": (201, _MANAGERS, _STRANGER),
    "POST /v1/projects/{p}/imports": (202, _MANAGERS, _STRANGER),
    "GET /v1/projects/{p}/items": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/items/{i}": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/items/{i}/content": (200, _MEMBERS, _STRANGER),
    "POST /v1/projects/{p}/batches": (200, _LABELERS, _STRANGER),
    "POST /v1/projects/{p}/labels": (201, _LABELERS, _STRANGER),
    "DELETE /v1/projects/{p}/labels/{label}": (200, _LABELERS, _STRANGER),
    "GET /v1/projects/{p}/labels": (200, _READERS, _STRANGER),
    "GET /v1/projects/{p}/leases": (200, _LABELERS, _STRANGER),
    "POST /v1/projects/{p}/leases/{lease}/renew": (200, _LABELERS, _STRANGER),
    "DELETE /v1/projects/{p}/leases/{lease}": (204, _LABELERS, _STRANGER),
    "POST /v1/projects/{p}/rounds": (202, _MANAGERS, _STRANGER),
    "GET /v1/projects/{p}/rounds": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/rounds/{n}": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/students": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/students/{v}": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/students/{v}/report": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/students/{v}/report/{name}.png": (200, _MEMBERS, _STRANGER),
    "POST /v1/projects/{p}/students/{v}/promote": (200, _MANAGERS, _STRANGER),
    "POST /v1/projects/{p}/students/{v}/exports": (202, _READERS, _STRANGER),
    "GET /v1/projects/{p}/students/{v}/exports/{j}": (200, _READERS, _STRANGER),
    "POST /v1/projects/{p}/predictions": (200, _MEMBERS, _STRANGER),
    "GET /v1/projects/{p}/predictions": (200, _READERS, _STRANGER),
    "POST /v1/projects/{p}/label-rest": (202, _MANAGERS, _STRANGER),
    "GET /v1/projects/{p}/label-rest": (200, _READERS, _STRANGER),
    "DELETE /v1/projects/{p}/label-rest/{run}": (202, _MANAGERS, _STRANGER),
    "GET /v1/projects/{p}/stats": (200, _MEMBERS, _STRANGER),
    "GET /v1/jobs/{j}": (200, _MEMBERS, _STRANGER),
    "DELETE /v1/jobs/{j}": (200, _MANAGERS, _STRANGER),
}
CELLS = [
    (route, place, role, success if answer == "yes" else int(answer))
    for route, (success, *rows) in TABLE.items()
    for place, row in zip(PLACES, rows, strict=True)
    for role, answer in zip(ROLES, row.split(), strict=True)
]

_FILE = {"files": {"file": ("a.csv", b"text\nhello\n")}}
#: What a call sends so that it can succeed; wrong passwords on purpose, so that nothing has to be hashed.
_SENDS: dict[str, Callable[[], dict[str, Any]]] = {
    "POST /v1/auth/token": lambda: {"json": {"email": "a@example.org"}},
    "POST /v1/me/password": lambda: {"json": {"current": "not it at all", "new": "short"}},
    "POST /v1/tokens": lambda: {"json": {"name": "mine"}},
    "POST /v1/projects": lambda: {"json": {"name": "mine", "task": "text", "labels": ["a", "b"]}},
    "PATCH /v1/projects/{p}": lambda: {"json": {"guidelines": "Read twice."}},
    "DELETE /v1/projects/{p}": lambda: {"params": {"confirm": "mine"}},
    "POST /v1/projects/{p}/members": lambda: {"json": {"email": "spare@example.org", "role": "viewer"}},
    "POST /v1/projects/{p}/items": lambda: {"json": {"items": [{"text": "the same each time"}]}},
    "POST /v1/projects/{p}/imports": lambda: _FILE,
    "POST /v1/projects/{p}/batches": lambda: {"json": {"size": 1, "lease_seconds": 1}},
    "POST /v1/projects/{p}/labels": lambda: {"json": {"labels": []}},
    "POST /v1/projects/{p}/students/{v}/exports": lambda: {"json": {"format": "onnx-int8"}},
    "POST /v1/projects/{p}/label-rest": lambda: {"json": {}},
    "POST /v1/projects/{p}/predictions": lambda: {"json": {"items": [{"text": "cat"}]}},
}


@dataclass
class Desk:
    """Makes calls in a world."""

    world: World
    client: httpx.Client
    _kept: dict[tuple[str, ...], str] = field(default_factory=dict)

    def call(self, route: str, place: str, role: str, expected: int) -> httpx.Response:
        """What ``role`` is answered at a route, on things of the place that are really there.

        A call that should change something gets a thing of its own; others share one.
        """
        method, path = route.split()
        token = self.world.tokens.get(role)
        if route == "DELETE /v1/auth/token" and token is not None:
            token = self.world.session_token(role)
        sends = _SENDS.get(route, dict)()
        if route == "POST /v1/users":
            sends = {"json": {"email": f"new-{place}-{role}@example.org", "password": "long enough to be one"}}
        alone = method != "GET" and expected < 300
        path = path.format(**self._ids(route, place, role, alone))
        return self.client.request(method, path, headers=bearing(token), **sends)

    def _ids(self, route: str, place: str, role: str, alone: bool) -> dict[str, str]:
        world = self.world
        # One's own label and lease where one can have one; else those of somebody who can.
        labels = role in ("owner", "admin", "manager", "annotator") and (place == "own" or role in ("owner", "admin"))
        by = role if labels else "stranger" if place == "foreign" else "manager"
        holder = role if place == "own" and role in world.tokens else "stranger"
        makers: dict[str, Callable[[], object]] = {
            "p": lambda: world.new_project(place) if route == "DELETE /v1/projects/{p}" else world.project(place),
            "i": lambda: world.item(place),
            "lease": lambda: world.lease(place, by),
            "label": lambda: world.label(place, by),
            "user": lambda: world.member(place),
            "token": lambda: world.token(holder),
            "n": lambda: 1,
            "run": lambda: world.run(place),
            "v": lambda: 1,
            "name": lambda: "confusion",
            "j": lambda: world.export(place) if "exports" in route else world.job(place),
        }
        ids = {}
        for name in (name for name in makers if f"{{{name}}}" in route):
            whose = holder if name == "token" else by
            kept = (name, place, whose, route if name in ("j", "p") else "", str(alone))
            if alone or kept not in self._kept:
                self._kept[kept] = str(makers[name]())
            ids[name] = self._kept[kept]
        return ids


@pytest.fixture
def desk(
    url: str, database: Database, storage: Storage, settings: Settings, tmp_path: Path, app: FastAPI
) -> Iterator[Desk]:
    world = make_world(database, storage, settings, tmp_path)
    with database.write() as session:
        session.add(WorkerSeen(name="a worker", seen_at=utcnow()))
    with httpx.Client(base_url=url, timeout=30) as client:
        yield Desk(world, client)


def test_the_table_names_every_route_and_no_other(app: FastAPI) -> None:
    routes = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in getattr(route, "methods", ())
    }
    assert len(routes) > 40
    assert sorted(routes - TABLE.keys()) == [], "routes without a line in the table"
    assert sorted(TABLE.keys() - routes) == [], "lines in the table without a route"


@pytest.mark.parametrize("place", PLACES)
def test_everybody_gets_the_answer_of_the_table(desk: Desk, place: str, tell: Callable[[str], None]) -> None:
    cells = [cell for cell in CELLS if cell[1] == place]
    wrong = []
    for route, _, role, expected in cells:
        answer = desk.call(route, place, role, expected)
        if answer.status_code != expected:
            wrong.append(f"{role} at {route}: {answer.status_code} instead of {expected}: {answer.text[:200]}")
        if expected in (401, 403, 404):
            assert set(problem_of(answer)) == {"type", "title", "status", "detail"}
            assert "stranger" not in answer.text
            assert (answer.headers.get("www-authenticate") == "Bearer") is (expected == 401)
    tell(f"authorisation: {len(cells)} answers in {place} projects, {len(wrong)} wrong")
    assert wrong == []


def test_what_is_not_there_and_what_one_may_not_know_of_are_told_apart_by_nothing(desk: Desk) -> None:
    there, nowhere = desk.world.project("foreign"), 10**15
    for route, (_, _, row) in TABLE.items():
        if row == _STRANGER and "{p}" in route:
            method, path = route.split()
            ids = dict.fromkeys(("i", "lease", "label", "user", "n", "v", "j", "run"), "1") | {"name": "confusion"}
            seen = [
                desk.client.request(
                    method,
                    path.format(p=project, **ids),
                    headers=bearing(desk.world.tokens["outsider"]),
                    **_SENDS.get(route, dict)(),
                )
                for project in (there, nowhere)
            ]
            assert [answer.status_code for answer in seen] == [404, 404], route
            assert seen[0].content == seen[1].content, route


def test_an_id_of_another_project_leads_nowhere_under_ones_own(desk: Desk) -> None:
    """The manager of one project names a thing of another: it is not there."""
    world = desk.world
    own = world.project("own")
    world.label("own", "annotator")
    foreign = {
        "i": world.item("foreign"),
        "lease": world.lease("foreign", "stranger"),
        "label": world.label("foreign", "stranger"),
        "j": world.export("foreign"),
        "run": world.run("foreign"),
        "user": world.users["stranger"],
    }
    calls = [
        f"GET /v1/projects/{own}/items/{foreign['i']}",
        f"GET /v1/projects/{own}/items/{foreign['i']}/content",
        f"POST /v1/projects/{own}/leases/{foreign['lease']}/renew",
        f"DELETE /v1/projects/{own}/leases/{foreign['lease']}",
        f"DELETE /v1/projects/{own}/labels/{foreign['label']}",
        f"GET /v1/projects/{own}/students/1/exports/{foreign['j']}",
        f"DELETE /v1/projects/{own}/label-rest/{foreign['run']}",
        f"DELETE /v1/projects/{own}/members/{foreign['user']}",
        f"GET /v1/projects/{own}/rounds/2",
        f"GET /v1/projects/{own}/students/2",
        f"POST /v1/projects/{own}/students/2/promote",
    ]
    # The owner manages both projects; a thing is found in its own one only.
    for role in ("manager", "owner"):
        # What they hold and said there themselves is theirs, but not here.
        lease, label = world.lease("foreign", role), world.label("foreign", role)
        theirs = [
            f"DELETE /v1/projects/{own}/labels/{label}",
            f"POST /v1/projects/{own}/leases/{lease}/renew",
            f"DELETE /v1/projects/{own}/leases/{lease}",
        ]
        until = world.held_until(lease)
        for call in calls + theirs:
            method, path = call.split()
            answer = desk.client.request(method, path, headers=bearing(world.tokens[role]))
            assert answer.status_code == 404, (role, call, answer.text)
        assert (world.standing(label), world.held_until(lease)) == (True, until)
    labels = [
        {"item": str(foreign["i"]), "label": "a"},
        {"item": str(world.item("own")), "label": "a", "lease": str(foreign["lease"])},
    ]
    answer = desk.client.post(
        f"/v1/projects/{own}/labels", json={"labels": labels}, headers=bearing(world.tokens["manager"])
    )
    assert (answer.status_code, answer.json()["accepted"], len(answer.json()["rejected"])) == (201, [], 2)
    assert world.standing(foreign["label"])
    assert (world.row(world.project("foreign")).n_labels, world.row(own).n_labels) == (3, 1)


def test_what_somebody_else_holds_or_said_is_not_ones_own_even_for_managers(desk: Desk) -> None:
    world = desk.world
    own = world.project("own")
    lease, label = world.lease("own", "annotator"), world.label("own", "annotator")
    for role in ("owner", "admin", "manager"):
        headers = bearing(world.tokens[role])
        assert desk.client.delete(f"/v1/projects/{own}/labels/{label}", headers=headers).status_code == 404
        assert desk.client.post(f"/v1/projects/{own}/leases/{lease}/renew", headers=headers).status_code == 404
        assert desk.client.delete(f"/v1/projects/{own}/leases/{lease}", headers=headers).status_code == 404
        held = desk.client.get(f"/v1/projects/{own}/leases", headers=headers).json()["data"]
        assert str(lease) not in {entry["id"] for entry in held}
    assert world.standing(label)


def test_lists_hold_nothing_of_others(desk: Desk) -> None:
    world = desk.world
    own, foreign = str(world.project("own")), str(world.project("foreign"))
    seen = {
        role: {
            entry["id"] for entry in desk.client.get("/v1/projects", headers=bearing(world.tokens[role])).json()["data"]
        }
        for role in ROLES[:-1]
    }
    assert {own, foreign} <= seen["owner"] & seen["admin"]
    assert seen["manager"] == seen["annotator"] == seen["viewer"] == {own}
    assert seen["outsider"] == set()
    tokens = desk.client.get("/v1/tokens", headers=bearing(world.tokens["owner"])).json()["data"]
    assert len(tokens) == 1


def test_an_annotator_sees_their_own_labels_only_and_no_split(desk: Desk) -> None:
    world = desk.world
    own = world.project("own")
    world.label("own", "manager")
    world.label("own", "annotator")
    path = f"/v1/projects/{own}/items"
    shown = desk.client.get(path, headers=bearing(world.tokens["annotator"])).json()["data"]
    people = {label["user"] for item in shown for label in item["labels"]}
    assert people == {"annotator@example.org"}
    assert {item["split"] for item in shown} == {None}
    alone = desk.client.get(path, params={"label": "a"}, headers=bearing(world.tokens["annotator"])).json()["data"]
    assert len(alone) == 1


def test_a_membership_that_ends_or_changes_counts_at_once(desk: Desk) -> None:
    world, client = desk.world, desk.client
    own = world.project("own")
    lease = world.lease("own", "annotator")
    manager, annotator = bearing(world.tokens["manager"]), bearing(world.tokens["annotator"])
    path = f"/v1/projects/{own}"
    assert client.post(f"{path}/batches", json={"size": 1}, headers=annotator).status_code == 200
    body = {"email": "annotator@example.org", "role": "viewer"}
    assert client.post(f"{path}/members", json=body, headers=manager).status_code == 201
    assert client.post(f"{path}/batches", json={"size": 1}, headers=annotator).status_code == 403
    assert client.delete(f"{path}/members/{world.users['annotator']}", headers=manager).status_code == 204
    for method, call in (
        ("GET", ""),
        ("GET", "/items"),
        ("GET", "/stats"),
        ("POST", f"/leases/{lease}/renew"),
        ("POST", "/labels"),
    ):
        sends = {"json": {"labels": []}} if call == "/labels" else {}
        assert client.request(method, path + call, headers=annotator, **sends).status_code == 404, call
    assert client.get("/v1/me", headers=annotator).status_code == 200
    assert client.get("/v1/projects", headers=annotator).json()["data"] == []


def test_an_archived_project_is_there_for_its_managers_only(desk: Desk) -> None:
    world, client = desk.world, desk.client
    gone = world.new_project("own")
    path = f"/v1/projects/{gone}"
    manager = bearing(world.tokens["manager"])
    assert client.delete(path, params={"confirm": "mine"}, headers=manager).status_code == 204
    assert client.get(path, headers=manager).status_code == 200
    assert client.post(f"{path}/batches", json={"size": 1}, headers=manager).status_code == 404
    for role in ("annotator", "viewer", "outsider"):
        headers = bearing(world.tokens[role])
        assert client.get(path, headers=headers).status_code == 404
        assert client.patch(path, json={"archived": False}, headers=headers).status_code == 404
