"""Projects over HTTP: made, listed, changed, archived, purged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from tests.api.conftest import make_project
from winnow.db.base import utcnow
from winnow.db.session import Database
from winnow.db.tables import AuditEntry, Encoder, Item, Job, Label, Member, Project
from winnow.hub_encoders import HubEntry
from winnow.settings import Settings
from winnow.storage import Storage

Api = Callable[[str], httpx.Client]
SignUp = Callable[..., str]


def audit(database: Database) -> list[tuple[str, int | None, dict[str, Any]]]:
    with database.read() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(entry.action, entry.project_id, entry.detail) for entry in entries]


def add_item(database: Database, project_id: int, number: int = 0) -> int:
    with database.write() as session:
        item = Item(
            project_id=project_id,
            number=number,
            digest=f"d{number}",
            group_digest=f"g{number}",
            shuffle=number,
            split="pool",
            text="some text",
            is_open=True,
        )
        session.add(item)
        session.get_one(Project, project_id).n_items += 1
        session.flush()
        return item.id


def add_label(database: Database, project_id: int, item_id: int, value: object) -> None:
    with database.write() as session:
        session.add(Label(project_id=project_id, item_id=item_id, kind="label", value=value, source="human"))


def test_a_new_project_is_complete(owner: httpx.Client, database: Database) -> None:
    made = make_project(owner, guidelines="Be kind.\nBe quick.", settings={"overlap": 2})
    assert made["labels"] == [
        {"name": "spam", "description": "", "hotkey": "1", "color": None},
        {"name": "ham", "description": "", "hotkey": "2", "color": None},
    ]
    assert made["settings"] == {
        "batch_size": "auto",
        "strategy": "auto",
        "overlap": 2,
        "holdout": "auto",
        "lease_seconds": 300,
        "encoder": "auto",
        "teacher": "auto",
        "student": "auto",
        "budget": {},
        "device": None,
        "collect": False,
        "cold_retrain": True,
    }
    assert (made["role"], made["archived_at"]) == ("manager", None)
    assert made["counts"] == {"items": 0, "labeled": 0, "remaining": 0}
    assert made["guidelines"] == "Be kind.\nBe quick."
    assert str(made["created_at"]).endswith("Z")
    assert owner.get(f"/projects/{made['id']}").json() == made
    assert audit(database) == [("project.create", int(str(made["id"])), {"name": "mail"})]


def test_names_are_kept_as_they_are(owner: httpx.Client) -> None:
    name = '<img src=x onerror="alert(1)"> & =1+1 \u202e é'
    made = make_project(owner, name=name, labels=[name, " spaces "])
    assert made["name"] == name
    assert [entry["name"] for entry in made["labels"]] == [name, " spaces "]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"name": " "}, ["body", "name"]),
        ({"name": "x" * 201}, ["body", "name"]),
        ({"name": "two\nlines"}, ["body", "name"]),
        ({"name": "\ud800"}, ["body", "name"]),
        ({"task": "audio"}, ["body", "task"]),
        ({"labels": []}, ["body", "labels"]),
        ({"labels": ["a", "a"]}, ["body", "labels", 1]),
        ({"labels": ["a", "\x00"]}, ["body", "labels", 1]),
        ({"labels": [{"name": "a", "hotkey": "ab"}]}, ["body", "labels", 0]),
        ({"labels": [{"name": "a", "color": "red;}"}]}, ["body", "labels", 0]),
        ({"guidelines": "a\x00b"}, ["body", "guidelines"]),
        ({"settings": {"nothing": 1}}, ["body", "settings", "nothing"]),
        ({"settings": {"encoder": "patches"}}, ["body", "settings", "encoder"]),
        ({"unknown": 1}, ["body", "unknown"]),
    ],
)
def test_what_cannot_be_used_is_named(owner: httpx.Client, change: dict[str, Any], loc: list[Any]) -> None:
    import json

    body = {"name": "mail", "task": "text", "labels": ["spam", "ham"], **change}
    headers = {"Content-Type": "application/json"}
    answer = owner.post("/projects", content=json.dumps(body), headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == loc
    assert owner.get("/projects").json()["data"] == []


def test_projects_page_newest_first(owner: httpx.Client) -> None:
    ids = [str(make_project(owner)["id"]) for _ in range(5)]
    first = owner.get("/projects", params={"limit": 2}).json()
    second = owner.get("/projects", params={"limit": 2, "cursor": first["next"]}).json()
    third = owner.get("/projects", params={"limit": 2, "cursor": second["next"]}).json()
    assert [[entry["id"] for entry in page["data"]] for page in (first, second, third)] == [
        [ids[4], ids[3]],
        [ids[2], ids[1]],
        [ids[0]],
    ]
    assert third["next"] is None


@pytest.mark.parametrize("params", [{"cursor": "x"}, {"limit": 0}, {"limit": 100_000}])
def test_a_bad_page_is_invalid(owner: httpx.Client, params: dict[str, Any]) -> None:
    answer = owner.get("/projects", params=params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query", *params]


def test_a_change_touches_only_what_was_given(owner: httpx.Client, database: Database) -> None:
    made = make_project(owner, settings={"overlap": 2, "lease_seconds": 60})
    changed = owner.patch(f"/projects/{made['id']}", json={"settings": {"lease_seconds": 90}, "name": "post"}).json()
    assert changed["settings"] == {**made["settings"], "lease_seconds": 90}  # type: ignore[dict-item]
    assert (changed["name"], changed["labels"]) == ("post", made["labels"])
    assert owner.get(f"/projects/{made['id']}").json() == changed
    assert audit(database)[-1] == ("project.update", int(str(made["id"])), {"fields": ["name", "settings"]})


def test_classes_can_be_added_and_unused_ones_can_go(owner: httpx.Client) -> None:
    made = make_project(owner)
    labels = [{"name": "ham", "hotkey": "1"}, "news"]
    changed = owner.patch(f"/projects/{made['id']}", json={"labels": labels})
    assert [(entry["name"], entry["hotkey"]) for entry in changed.json()["labels"]] == [("ham", "1"), ("news", "2")]


@pytest.mark.parametrize("value", ["spam", ["ham", "spam"]])
def test_a_class_with_labels_cannot_go(owner: httpx.Client, database: Database, value: object) -> None:
    made = make_project(owner)
    project_id = int(str(made["id"]))
    add_label(database, project_id, add_item(database, project_id), value)
    answer = owner.patch(f"/projects/{made['id']}", json={"labels": ["ham", "news"]})
    assert answer.status_code == 409
    assert "spam" in answer.json()["detail"]
    assert owner.get(f"/projects/{made['id']}").json()["labels"] == made["labels"]


def test_a_registered_classifier_may_teach_and_no_dotted_path(app: FastAPI, owner: httpx.Client) -> None:
    registry = Settings(classifiers={"forest": "sklearn.ensemble.RandomForestClassifier"}).classifiers
    app.state.settings = app.state.settings.model_copy(update={"classifiers": registry})
    assert make_project(owner, settings={"teacher": "sklearn:forest"})["settings"]["teacher"] == "sklearn:forest"
    other = make_project(owner)
    answer = owner.patch(f"/projects/{other['id']}", json={"settings": {"teacher": "sklearn:forest"}})
    assert answer.json()["settings"]["teacher"] == "sklearn:forest"
    for name in ("sklearn:other", "sklearn.svm.SVC", "sklearn:sklearn.svm.SVC"):
        answer = owner.patch(f"/projects/{other['id']}", json={"settings": {"teacher": name}})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["loc"] == ["body", "settings", "teacher"]
        assert "sklearn:forest" in error["msg"]


def test_a_registered_encoder_may_be_named_and_no_other(app: FastAPI, owner: httpx.Client) -> None:
    registry = {"bert": HubEntry(source="/m/bert", task="text"), "vit": HubEntry(source="/m/vit", task="image")}
    app.state.settings = app.state.settings.model_copy(update={"hf_encoders": registry})
    made = make_project(owner, settings={"encoder": "hf:bert"})
    assert made["settings"]["encoder"] == "hf:bert"
    other = make_project(owner)
    answer = owner.patch(f"/projects/{other['id']}", json={"settings": {"encoder": "hf:bert"}})
    assert answer.json()["settings"]["encoder"] == "hf:bert"
    for name in ("hf:none", "hf:vit", "hf:/etc/passwd"):
        wanted = {"settings": {"encoder": name}}
        created = {"name": "mail", "task": "text", "labels": ["spam", "ham"], **wanted}
        for answer in (owner.post("/projects", json=created), owner.patch(f"/projects/{made['id']}", json=wanted)):
            assert answer.status_code == 422
            [error] = answer.json()["errors"]
            assert error["loc"] == ["body", "settings", "encoder"]
            assert "auto, minilm, hashed, hf:bert" in error["msg"]


def test_another_encoder_asks_for_encoding_and_other_settings_do_not(owner: httpx.Client, database: Database) -> None:
    made = make_project(owner)
    project_id = int(str(made["id"]))

    def asked() -> int:
        with database.read() as session:
            return len(session.scalars(select(Job).where(Job.project_id == project_id, Job.kind == "encode")).all())

    assert owner.patch(f"/projects/{made['id']}", json={"settings": {"encoder": "hashed"}}).status_code == 200
    assert owner.patch(f"/projects/{made['id']}", json={"settings": {"encoder": "auto"}}).status_code == 200
    assert asked() == 0  # there is nothing to encode
    assert owner.patch(f"/projects/{made['id']}", json={"settings": {"overlap": 2}}).status_code == 200
    add_item(database, project_id)
    with database.write() as session:
        session.add(
            Encoder(
                project_id=project_id,
                name="hashed",
                version="1",
                digest="x",
                dim=2,
                dtype="float16",
                path="p",
                details={},
            )
        )
        session.get_one(Project, project_id).next_number = 1
    same = {"overlap": 3, "encoder": "auto", "batch_size": 30}
    assert owner.patch(f"/projects/{made['id']}", json={"settings": same}).status_code == 200
    assert asked() == 0
    answer = owner.patch(f"/projects/{made['id']}", json={"settings": {"encoder": "hashed"}})
    assert answer.json()["settings"]["encoder"] == "hashed"
    assert asked() == 1
    wrong = {"student": "transformer-2", "encoder": "hashed"}
    assert owner.patch(f"/projects/{made['id']}", json={"settings": wrong}).status_code == 422


@pytest.mark.parametrize("params", [{}, {"confirm": "another"}, {"confirm": "Mail"}])
def test_archiving_asks_for_the_exact_name(owner: httpx.Client, params: dict[str, str]) -> None:
    made = make_project(owner)
    answer = owner.delete(f"/projects/{made['id']}", params=params)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["query", "confirm"]
    assert owner.get(f"/projects/{made['id']}").json()["archived_at"] is None


def test_an_archived_project_is_seen_by_its_managers_only_and_can_come_back(
    owner: httpx.Client, api: Api, sign_up: SignUp
) -> None:
    made = make_project(owner)
    at = f"/projects/{made['id']}"
    ann = api(sign_up("ann@example.org"))
    owner.post(f"{at}/members", json={"email": "ann@example.org", "role": "annotator"})
    assert ann.get(at).status_code == 200
    assert owner.delete(at, params={"confirm": "mail"}).status_code == 204
    assert ann.get(at).status_code == 404
    assert [client.get("/projects").json()["data"] for client in (owner, ann)] == [[], []]
    assert owner.get(f"{at}/members").status_code == 404
    assert owner.get(at).json()["archived_at"] is not None
    assert owner.patch(at, json={"archived": False}).json()["archived_at"] is None
    assert ann.get(at).status_code == 200


def test_a_purge_leaves_neither_rows_nor_files(owner: httpx.Client, database: Database, storage: Storage) -> None:
    gone, kept = (int(str(make_project(owner)["id"])) for _ in range(2))
    for project_id in (gone, kept):
        for number in range(3):
            add_label(database, project_id, add_item(database, project_id, number), "spam")
        storage.put_bytes(b"features", f"projects/{project_id}/features/0.npy")
    answer = owner.delete(f"/projects/{gone}", params={"confirm": "mail", "purge": "true"})
    assert answer.status_code == 204
    assert owner.get(f"/projects/{gone}").status_code == 404
    with database.read() as session:
        for rows in (Item, Label, Member):
            assert set(session.scalars(select(rows.project_id))) == {kept}
    assert storage.list() == [f"projects/{kept}/features/0.npy"]
    assert audit(database)[-1] == ("project.purge", gone, {"name": "mail"})


def test_another_persons_project_is_not_there(owner: httpx.Client, api: Api, sign_up: SignUp) -> None:
    at = f"/projects/{make_project(owner)['id']}"
    stranger = api(sign_up("eve@example.org"))
    for answer in (
        stranger.get(at),
        stranger.patch(at, json={"name": "mine"}),
        stranger.delete(at, params={"confirm": "mail"}),
        stranger.get(f"{at}/members"),
        stranger.post(f"{at}/members", json={"email": "eve@example.org", "role": "manager"}),
    ):
        assert answer.status_code == 404
        assert answer.json()["title"] == "Not found"
    assert stranger.get("/projects").json() == {"data": [], "next": None}


def test_whoever_makes_a_project_manages_it_and_owners_and_admins_manage_all(
    owner: httpx.Client, api: Api, sign_up: SignUp
) -> None:
    ann, admin = api(sign_up("ann@example.org")), api(sign_up("admin@example.org", "admin"))
    made = make_project(ann)
    assert [client.get("/projects").json()["data"][0]["role"] for client in (ann, admin, owner)] == ["manager"] * 3
    assert admin.patch(f"/projects/{made['id']}", json={"name": "post"}).status_code == 200


@pytest.mark.parametrize(
    ("role", "reads", "manages"), [("manager", 200, 200), ("annotator", 200, 403), ("viewer", 200, 403)]
)
def test_roles_decide(
    owner: httpx.Client, api: Api, sign_up: SignUp, database: Database, role: str, reads: int, manages: int
) -> None:
    at = f"/projects/{make_project(owner)['id']}"
    ann = api(sign_up("ann@example.org"))
    assert owner.post(f"{at}/members", json={"email": "ann@example.org", "role": role}).status_code == 201
    assert ann.get(at).status_code == reads
    assert ann.get(at).json()["role"] == role
    assert ann.patch(at, json={"name": "post"}).status_code == manages
    assert ann.get(f"{at}/members").status_code == manages


@pytest.mark.parametrize("p", ["0", "-1", "1.0", "abc", "9" * 30, "%00", "١"])
def test_an_id_that_nothing_bears_is_not_found(owner: httpx.Client, p: str) -> None:
    assert owner.get(f"/projects/{p}").status_code == 404


def test_times_are_utc(owner: httpx.Client) -> None:
    from datetime import datetime

    made = datetime.fromisoformat(str(make_project(owner)["created_at"]))
    assert abs((utcnow() - made).total_seconds()) < 60
