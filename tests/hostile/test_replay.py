"""Forged, altered and replayed: tokens, request ids, undos, leases, passwords, and the same call twice at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from tests.hostile.world import World, bearing, make_world, problem_of
from winnow import projects, security, sign_in, users
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import AuditEntry, Job, Label, Token, User
from winnow.permissions import Permission
from winnow.purge import purge_project
from winnow.settings import Settings
from winnow.storage import Storage

PASSWORD = "a password of some length"


@pytest.fixture
def world(database: Database, storage: Storage, settings: Settings, tmp_path: Path) -> World:
    return make_world(database, storage, settings, tmp_path)


@pytest.fixture
def mine(world: World, client: httpx.Client) -> httpx.Client:
    """The manager of the project ``own``."""
    client.headers.update(bearing(world.tokens["manager"]))
    return client


def at_once(calls: list[Callable[[], httpx.Response]]) -> list[httpx.Response]:
    """The answers of calls that begin at the same moment."""
    start = threading.Barrier(len(calls))
    answers: dict[int, httpx.Response] = {}

    def do(place: int) -> None:
        start.wait()
        answers[place] = calls[place]()

    threads = [threading.Thread(target=do, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[place] for place in range(len(calls))]


def test_no_altered_token_opens_anything(world: World, client: httpx.Client) -> None:
    token = world.tokens["owner"]
    stored = security.hash_secret(token)
    forged = [
        token[:-1], token + "A", token[3:], token.swapcase(), token[:-1] + ("A" if token[-1] != "A" else "B"),
        stored, f"wn_{stored}", "wn_", "", " ", "1", "null", "undefined", "owner@example.org", "wn_" + "A" * 100_000,
        "wn_%00", "' OR '1'='1", "e30.e30.", "ü" * 40,
    ]  # fmt: skip
    headers = [f"Bearer {entry}".rstrip().encode() for entry in forged]
    headers += [token.encode(), f"Basic {token}".encode(), f"Token {token}".encode(), b"Bearer", b"Bearer \xff\xfe"]
    headers += [f"Bearer {token} {token}".encode(), f"Bearer {token},".encode()]
    for header in headers:
        for path in ("/v1/me", "/v1/projects", f"/v1/projects/{world.project('own')}/leases"):
            answer = client.get(path, headers={b"authorization": header})
            # The server in front refuses control characters and headers over its limit by itself.
            assert answer.status_code in (401, 400, 431), (header[:60], path, answer.text[:200])
            assert world.tokens["owner"] not in answer.text
    assert client.get("/v1/me", headers={"authorization": f"bearer {token}"}).json()["role"] == "owner"


def test_a_token_stands_in_the_header_only(world: World, client: httpx.Client) -> None:
    token = world.tokens["owner"]
    for sent in (
        {"params": {"access_token": token, "token": token}},
        {"cookies": {"winnow_session_8501": token, "session": token}},
        {"headers": {"x-api-key": token, "proxy-authorization": f"Bearer {token}"}},
    ):
        with httpx.Client(base_url=client.base_url, **sent) as asking:  # type: ignore[arg-type]
            assert asking.get("/v1/me").status_code == 401


def test_no_secret_is_kept_or_shown_again(world: World, mine: httpx.Client) -> None:
    made = mine.post("/v1/tokens", json={"name": "mine"}).json()
    assert made["token"] not in mine.get("/v1/tokens").text
    with world.database.read() as session:
        kept = session.scalars(select(Token.secret_hash)).all()
        trail = [str(entry.detail) for entry in session.scalars(select(AuditEntry))]
    assert security.hash_secret(made["token"]) in kept
    assert made["token"] not in kept
    assert not any(made["token"] in line for line in trail)


def test_a_token_ends_at_once_however_it_ends(world: World, client: httpx.Client) -> None:
    ways: dict[str, Callable[[int], None]] = {
        "revoked": lambda token: _set(world, Token, token, revoked_at=utcnow()),
        "expired": lambda token: _set(world, Token, token, expires_at=utcnow() - timedelta(seconds=1)),
    }
    for way, end in ways.items():
        secret = world.session_token("manager")
        with world.database.read() as session:
            token = users.resolve_token(session, secret).token_id
        assert client.get("/v1/me", headers=bearing(secret)).status_code == 200
        end(token)
        for method, path in (("GET", "/v1/me"), ("POST", f"/v1/projects/{world.project('own')}/batches")):
            sends = {"json": {"size": 1}} if method == "POST" else {}
            assert client.request(method, path, headers=bearing(secret), **sends).status_code == 401, way
    secret = world.session_token("manager")
    assert client.delete("/v1/auth/token", headers=bearing(secret)).status_code == 204
    assert client.delete("/v1/auth/token", headers=bearing(secret)).status_code == 401
    _set(world, User, world.users["manager"], disabled_at=utcnow())
    assert client.get("/v1/me", headers=bearing(world.tokens["manager"])).status_code == 401


def _set(world: World, table: type, key: int, **values: object) -> None:
    with world.database.write() as session:
        session.execute(update(table).where(table.id == key).values(**values))  # type: ignore[attr-defined]


def test_a_request_id_answers_the_same_to_its_person_and_is_nobody_elses(world: World, mine: httpx.Client) -> None:
    own = world.project("own")
    item, other = world.item("own"), world.item("own")
    path = f"/v1/projects/{own}/labels"
    entry = {"item": str(item), "label": "a", "request_id": "r1"}
    first = mine.post(path, json={"labels": [entry]}).json()["accepted"]
    for _ in range(3):
        assert mine.post(path, json={"labels": [entry, entry]}).json()["accepted"] == first * 2
    for change in ({"label": "b"}, {"item": str(other)}, {"seconds": 1.5}, {"flag": "x", "label": None}):
        answer = mine.post(path, json={"labels": [{**entry, **change}]}).json()
        assert (answer["accepted"], len(answer["rejected"])) == ([], 1), change
    # Somebody else's request of the same name is their own.
    theirs = mine.post(path, json={"labels": [{**entry, "label": "b"}]}, headers=bearing(world.tokens["annotator"]))
    (label,) = theirs.json()["accepted"]
    assert label["id"] != first[0]["id"]
    # An undone label stays undone when its request comes once more.
    assert mine.delete(f"{path}/{first[0]['id']}").status_code == 200
    assert mine.post(path, json={"labels": [entry]}).json()["accepted"] == first
    assert not world.standing(int(first[0]["id"]))
    assert mine.delete(f"{path}/{first[0]['id']}").status_code == 409
    assert world.row(own).n_labels == 1


def test_one_request_id_at_once_gives_one_label(world: World, mine: httpx.Client) -> None:
    own, item = world.project("own"), world.item("own")
    body = {"labels": [{"item": str(item), "label": "a", "request_id": "at once"}]}
    answers = at_once([lambda: mine.post(f"/v1/projects/{own}/labels", json=body)] * 8)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["accepted"][0]["id"] for answer in answers}) == 1
    with world.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Label).where(Label.item_id == item)) == 1


def test_an_undo_at_once_undoes_once(world: World, mine: httpx.Client) -> None:
    own, label = world.project("own"), world.label("own", "manager")
    answers = at_once([lambda: mine.delete(f"/v1/projects/{own}/labels/{label}")] * 8)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert world.row(own).n_labels == 0


def test_a_lease_that_was_given_back_or_used_up_holds_nothing(world: World, mine: httpx.Client) -> None:
    own, lease = world.project("own"), world.lease("own", "manager")
    path = f"/v1/projects/{own}"
    assert mine.delete(f"{path}/leases/{lease}").status_code == 204
    assert mine.delete(f"{path}/leases/{lease}").status_code == 204
    taken = mine.post(f"{path}/batches", json={"size": 100}, headers=bearing(world.tokens["annotator"])).json()["items"]
    assert len(taken) == 1
    assert problem_of(mine.post(f"{path}/leases/{lease}/renew"))["status"] == 409
    # Somebody else's lease, in renewing, in a label, and in giving back.
    foreign = taken[0]["lease"]["id"]
    assert mine.post(f"{path}/leases/{foreign}/renew").status_code == 404
    entry = {"item": taken[0]["id"], "label": "a", "lease": foreign}
    assert len(mine.post(f"{path}/labels", json={"labels": [entry]}).json()["rejected"]) == 1
    # Their label uses it up.
    theirs = bearing(world.tokens["annotator"])
    assert mine.post(f"{path}/labels", json={"labels": [entry]}, headers=theirs).json()["rejected"] == []
    assert mine.post(f"{path}/leases/{foreign}/renew", headers=theirs).status_code == 409


def test_the_same_order_twice_at_once_breaks_nothing(world: World, mine: httpx.Client) -> None:
    own = world.project("own")
    path = f"/v1/projects/{own}"
    rounds = at_once([lambda: mine.post(f"{path}/rounds")] * 6)
    assert {answer.status_code for answer in rounds} == {202}
    assert len({answer.json()["id"] for answer in rounds}) == 1
    promoted = at_once([lambda: mine.post(f"{path}/students/1/promote")] * 6)
    assert {(answer.status_code, answer.json()["current"]) for answer in promoted} == {(200, True)}
    exported = at_once([lambda: mine.post(f"{path}/students/1/exports", json={})] * 4)
    assert {answer.status_code for answer in exported} == {202}
    job = exported[0].json()["id"]
    canceled = at_once([lambda: mine.delete(f"/v1/jobs/{job}")] * 4)
    assert {(answer.status_code, answer.json()["state"]) for answer in canceled} == {(200, "canceled")}
    person = {"email": "spare@example.org", "role": "viewer"}
    added = at_once([lambda: mine.post(f"{path}/members", json=person)] * 4)
    assert {answer.status_code for answer in added} == {201}
    same = {"items": [{"text": "once only", "key": "k"}]}
    items = at_once([lambda: mine.post(f"{path}/items", json=same)] * 4)
    assert sorted(answer.json()["created"] for answer in items) == [0, 0, 0, 1]
    with world.database.read() as session:
        waiting = select(func.count()).select_from(Job).where(Job.project_id == own, Job.kind == "round")
        assert session.scalar(waiting) == 1
    made = world.new_project("own")
    gone = at_once([lambda: mine.delete(f"/v1/projects/{made}", params={"confirm": "mine", "purge": True})] * 4)
    assert {answer.status_code for answer in gone} <= {204, 404}
    assert 204 in {answer.status_code for answer in gone}


def test_a_project_that_is_purged_while_somebody_asks_is_not_there(
    world: World, mine: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = projects.member_role

    def then_purged(session: Session, who: users.Identity, project_id: int, needed: Permission) -> str:
        role = looked(session, who, project_id, needed)
        session.rollback()  # whoever reads on would keep PostgreSQL's purge waiting
        purge_project(world.database, world.storage, project_id)
        return role

    monkeypatch.setattr(projects, "member_role", then_purged)
    for method, path, sends in (
        ("DELETE", "", {"params": {"confirm": "mine"}}),
        ("PATCH", "", {"json": {"name": "new"}}),
        ("GET", "", {}),
        ("GET", "/stats", {}),
        ("GET", "/items", {}),
        ("GET", "/leases", {}),
        ("POST", "/items", {"json": {"items": [{"text": "late"}]}}),
        ("POST", "/rounds", {}),
        ("POST", "/predictions", {"json": {"items": [{"text": "late"}]}}),
        ("POST", "/imports", {"files": {"file": ("a.csv", b"text\nlate\n")}}),
        ("POST", "/members", {"json": {"email": "spare@example.org", "role": "viewer"}}),
    ):
        answer = mine.request(method, f"/v1/projects/{world.new_project('own')}{path}", **sends)  # type: ignore[arg-type]
        assert answer.status_code == 404, (method, path, answer.text)


def test_one_account_for_one_address_however_often_it_is_asked_for(world: World, client: httpx.Client) -> None:
    owner = bearing(world.tokens["owner"])
    spellings = ("new@example.org", "NEW@example.org", " new@Example.org ", "new@example.org")
    answers = at_once(
        [
            lambda email=email: client.post("/v1/users", json={"email": email, "password": PASSWORD}, headers=owner)
            for email in spellings
        ]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    for role in ("owner", "manager", "", None, ["admin"]):
        answer = client.post("/v1/users", json={"email": "x@example.org", "role": role}, headers=owner)
        assert answer.status_code == 422, role


def test_guessing_is_slowed_and_audited_and_says_nothing_of_who_is_here(world: World, client: httpx.Client) -> None:
    with world.database.write() as session:
        users.create_user(session, "real@example.org", PASSWORD, "member")
    said = set()
    for email in ("real@example.org", "REAL@example.org ", "nobody@example.org"):
        for guess in ("wrong", ""):
            answer = client.post("/v1/auth/token", json={"email": email, "password": guess})
            said.add((answer.status_code, problem_of(answer)["detail"]))
    assert said == {(401, sign_in.WRONG_PASSWORD)}
    for _ in range(2):
        answer = client.post("/v1/auth/token", json={"email": "real@example.org", "password": "wrong"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    # Not even the right one is answered now, whatever address the caller claims to come from.
    for claimed in ("1.2.3.4", "::1, 5.6.7.8"):
        body = {"email": "real@example.org", "password": PASSWORD}
        answer = client.post("/v1/auth/token", json=body, headers={"X-Real-IP": claimed, "Forwarded": f"for={claimed}"})
        assert answer.status_code == 429
    with world.database.read() as session:
        failed = select(AuditEntry).where(AuditEntry.action == "user.sign_in_failed")
        trail = session.scalars(failed).all()
    assert len(trail) >= 6
    assert {entry.detail["email"] for entry in trail} == {"real@example.org", "nobody@example.org"}
    assert PASSWORD not in str([entry.detail for entry in trail])


def test_guesses_at_once_are_slowed_too(world: World, client: httpx.Client) -> None:
    with world.database.write() as session:
        users.create_user(session, "real@example.org", PASSWORD, "member")
    guess = {"email": "real@example.org", "password": "wrong"}
    at_once([lambda: client.post("/v1/auth/token", json=guess)] * 12)
    right = {"email": "real@example.org", "password": PASSWORD}
    assert client.post("/v1/auth/token", json=right).status_code == 429
