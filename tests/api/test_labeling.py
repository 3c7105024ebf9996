"""Batches, leases and labels over HTTP."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.api.conftest import make_project
from tests.api.test_items import Api, add, at, join
from tests.winnow.pools import word
from winnow.db.session import Database
from winnow.db.tables import Encoder, FeatureShard


@pytest.fixture
def project(owner: httpx.Client) -> dict[str, Any]:
    made = make_project(owner)
    add(owner, made, *({"text": f"{word(n)} {word(n + 7)}", "key": f"k{n}"} for n in range(10)))
    return made


def claim(client: httpx.Client, project: dict[str, Any], size: int = 1, **more: Any) -> list[dict[str, Any]]:
    answer = client.post(at(project, "batches"), json={"size": size, **more})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def send(client: httpx.Client, project: dict[str, Any], *labels: Any) -> dict[str, Any]:
    answer = client.post(at(project, "labels"), json={"labels": list(labels)})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_a_batch_has_exactly_the_fields_of_the_contract(owner: httpx.Client, project: dict[str, Any]) -> None:
    answer = owner.post(at(project, "batches"), json={"size": 3}).json()
    assert set(answer) == {"items", "ranked_by", "remaining"}
    assert answer["ranked_by"] == {"round": 0, "labels_behind": 0}
    assert answer["remaining"] == 10
    item = answer["items"][0]
    assert list(item) == ["id", "key", "text", "meta", "score", "reason", "prediction", "lease"]
    assert (item["score"], item["reason"], item["prediction"]) == (None, None, None)
    assert list(item["lease"]) == ["id", "expires_at"]
    assert datetime.fromisoformat(item["lease"]["expires_at"]).utcoffset() is not None


@pytest.mark.parametrize(
    "body", [{}, {"size": 0}, {"size": 101}, {"size": "x"}, {"size": 1, "lease_seconds": 0}, {"size": 1, "n": 1}]
)
def test_a_batch_that_cannot_be_is_422(owner: httpx.Client, project: dict[str, Any], body: dict[str, Any]) -> None:
    answer = owner.post(at(project, "batches"), json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_held_items_are_listed_renewed_and_given_back(
    owner: httpx.Client, project: dict[str, Any], api: Api, sign_up: Callable[..., str]
) -> None:
    annotator = join(owner, api, sign_up, project, "annotator")
    items = claim(owner, project, 3, lease_seconds=60)
    held = owner.get(at(project, "leases")).json()
    assert held["next"] is None
    assert [row["item"] for row in held["data"]] == items
    assert [row["id"] for row in held["data"]] == [item["lease"]["id"] for item in items]
    lease = at(project, f"leases/{items[0]['lease']['id']}")
    renewed = owner.post(f"{lease}/renew").json()
    assert renewed["id"] == items[0]["lease"]["id"]
    assert renewed["expires_at"] > items[0]["lease"]["expires_at"]
    for call in (annotator.post(f"{lease}/renew"), annotator.delete(lease), owner.delete(at(project, "leases/x"))):
        assert call.status_code == 404
    assert owner.delete(lease).status_code == 204
    assert owner.delete(lease).status_code == 204
    assert len(claim(annotator, project, 10)) == 8
    assert owner.post(f"{lease}/renew").status_code == 409


def test_labels_stand_and_others_are_rejected_with_the_item_as_given(
    owner: httpx.Client, project: dict[str, Any]
) -> None:
    first, second = claim(owner, project, 2)
    body = send(
        owner,
        project,
        {"item": first["id"], "label": "spam", "lease": first["lease"]["id"]},
        {"item": second["id"], "label": "eggs"},
        {"item": 77, "label": "spam"},
        "nonsense",
    )
    assert [entry["item"] for entry in body["accepted"]] == [first["id"]]
    assert [entry["item"] for entry in body["rejected"]] == [second["id"], "77", None]
    assert all(set(entry) == {"item", "reason"} for entry in body["rejected"])
    assert owner.post(at(project, "labels"), json={"labels": [{}] * 1001}).status_code == 422
    assert owner.post(at(project, "labels"), json={}).status_code == 422
    assert send(owner, project) == {"accepted": [], "rejected": []}


def test_an_undo_gives_the_item_and_its_lease(owner: httpx.Client, project: dict[str, Any]) -> None:
    (item,) = claim(owner, project)
    label = send(owner, project, {"item": item["id"], "label": "spam"})["accepted"][0]["id"]
    undone = owner.delete(at(project, f"labels/{label}"))
    assert undone.status_code == 200
    body = undone.json()
    assert {**body["item"], "lease": None} == {**item, "lease": None}
    assert body["lease"] == body["item"]["lease"]
    assert owner.delete(at(project, f"labels/{label}")).status_code == 409
    assert owner.delete(at(project, "labels/12345")).status_code == 404
    assert [row["item"]["id"] for row in owner.get(at(project, "leases")).json()["data"]] == [item["id"]]


def test_labels_are_exported_as_lines_and_as_csv(owner: httpx.Client, project: dict[str, Any]) -> None:
    add(owner, project, {"text": "x", "key": "=1+1", "label": "ham"})
    for item in claim(owner, project, 2):
        send(owner, project, {"item": item["id"], "label": "spam", "seconds": 1.5})
    (third,) = claim(owner, project)
    send(owner, project, {"item": third["id"], "flag": "-odd"})
    answer = owner.get(at(project, "labels"))
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    columns = ["id", "item", "key", "label", "skip", "flag", "user", "at", "seconds", "round", "source", "split"]
    assert [list(row) for row in rows] == [[*columns, "mechanism", "probability"]] * 4
    assert [row["source"] for row in rows] == ["import", "human", "human", "human"]

    def table(**params: str) -> list[dict[str, str]]:
        got = owner.get(at(project, "labels"), params={"format": "csv", **params})
        assert got.headers["content-type"].startswith("text/csv")
        return list(csv.DictReader(io.StringIO(got.text)))

    assert next(row["key"] for row in table()) == "'=1+1"
    assert table()[3]["flag"] == "'-odd"
    assert next(row["key"] for row in table(raw="true")) == "=1+1"
    assert table()[1]["seconds"] == "1.5"
    assert [row["skip"] for row in table()] == ["false"] * 4
    for format in ("label-studio", "hf"):
        assert owner.get(at(project, "labels"), params={"format": format}).status_code == 501
    assert owner.get(at(project, "labels"), params={"format": "xml"}).status_code == 422


@pytest.mark.parametrize("everything", [False, True])
def test_labels_as_parquet_are_the_labels_as_lines(
    owner: httpx.Client, project: dict[str, Any], everything: bool
) -> None:
    add(owner, project, {"text": "x", "key": "=1+1", "label": "ham"})
    first, second, third = claim(owner, project, 3)
    send(owner, project, {"item": first["id"], "label": "spam", "seconds": 1.5}, {"item": second["id"], "skip": True})
    send(owner, project, {"item": first["id"], "label": "ham"}, {"item": third["id"], "flag": "ödd"})
    params = {"all": str(everything).lower()}
    answer = owner.get(at(project, "labels"), params={"format": "parquet", **params})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert answer.headers["content-disposition"] == f'attachment; filename="labels-{project["id"]}.parquet"'
    lines = owner.get(at(project, "labels"), params=params).text.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == (5 if everything else 4)
    for row in rows:
        for name in ("at", "superseded_at"):
            row.update({name: datetime.fromisoformat(row[name])} if row.get(name) else {})
    # Without threads: theirs may still run when the interpreter ends.
    table = pq.read_table(io.BytesIO(answer.content), use_threads=False)
    assert table.column_names == list(rows[0])
    assert table.to_pylist() == rows
    frame = pd.read_parquet(io.BytesIO(answer.content), use_threads=False)
    assert frame["id"].tolist() == [row["id"] for row in rows]
    assert frame["at"].tolist() == [row["at"] for row in rows]
    assert frame["seconds"].fillna(-1).tolist() == [-1 if row["seconds"] is None else row["seconds"] for row in rows]
    assert frame["skip"].tolist() == [row["skip"] for row in rows]


def test_the_history_has_what_was_superseded(owner: httpx.Client, project: dict[str, Any]) -> None:
    (item,) = claim(owner, project)
    send(owner, project, {"item": item["id"], "label": "spam"})
    send(owner, project, {"item": item["id"], "label": "ham"})
    answer = owner.get(at(project, "labels"), params={"all": "true"})
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["label"], row["superseded_at"] is None) for row in rows] == [("spam", False), ("ham", True)]


@pytest.mark.parametrize(("role", "may_label", "may_read"), [("annotator", True, False), ("viewer", False, True)])
def test_roles_hold(
    owner: httpx.Client,
    project: dict[str, Any],
    api: Api,
    sign_up: Callable[..., str],
    role: str,
    may_label: bool,
    may_read: bool,
) -> None:
    client = join(owner, api, sign_up, project, role)
    calls = (
        client.post(at(project, "batches"), json={"size": 1}),
        client.post(at(project, "labels"), json={"labels": []}),
        client.get(at(project, "leases")),
    )
    assert all((call.status_code == 403) == (not may_label) for call in calls)
    assert (client.get(at(project, "labels")).status_code == 403) == (not may_read)
    assert client.get(at(project, "stats")).status_code == 200


@pytest.mark.parametrize("path", ["batches", "labels"])
def test_whoever_may_not_is_told_so_before_what_is_wrong_with_their_input(
    owner: httpx.Client, project: dict[str, Any], api: Api, sign_up: Callable[..., str], path: str
) -> None:
    viewer = join(owner, api, sign_up, project, "viewer")
    stranger = api(sign_up("stranger@example.org"))
    nobody = api("wn_unknown")
    for body in ({}, {"size": 1, "labels": []}, {"labels": [], "n": 1}):
        answers = [client.post(at(project, path), json=body) for client in (viewer, stranger, nobody)]
        assert [answer.status_code for answer in answers] == [403, 404, 401]
    assert nobody.post(f"/projects/x/{path}", json={}).status_code == 401
    assert (
        owner.post(f"/projects/x/{path}", json={"size": 1} if path == "batches" else {"labels": []}).status_code == 404
    )


def test_a_revoked_token_claims_and_labels_nothing_any_more(
    owner: httpx.Client, project: dict[str, Any], api: Api
) -> None:
    made = owner.post("/tokens", json={"name": "phone"}).json()
    phone = api(made["token"])
    (item,) = claim(phone, project)
    assert owner.delete(f"/tokens/{made['id']}").status_code == 204
    assert phone.post(at(project, "batches"), json={"size": 1}).status_code == 401
    label = {"item": item["id"], "label": "spam"}
    assert phone.post(at(project, "labels"), json={"labels": [label]}).status_code == 401
    assert owner.get(at(project, "labels")).text == ""


def test_stats_have_the_fields_of_the_contract(owner: httpx.Client, project: dict[str, Any]) -> None:
    items = claim(owner, project, 3)
    send(
        owner,
        project,
        {"item": items[0]["id"], "label": "spam", "seconds": 2},
        {"item": items[1]["id"], "skip": True},
        {"item": items[2]["id"], "flag": "odd"},
    )
    stats = owner.get(at(project, "stats")).json()
    assert set(stats) >= {
        *("items", "labeled", "skipped", "flagged", "remaining", "per_label", "per_annotator", "learning_curve"),
        *("freshness", "accuracy", "agreement", "labels_saved", "ledger", "budget"),
    }
    assert [stats[name] for name in ("items", "labeled", "skipped", "flagged", "remaining")] == [10, 1, 1, 1, 9]
    assert stats["per_label"] == {"spam": 1, "ham": 0}
    assert stats["per_annotator"] == {"owner@example.org": 1}
    assert stats["annotators"][0]["mean_seconds"] == 2.0
    assert stats["learning_curve"] == []
    assert [stats[name] for name in ("accuracy", "agreement", "labels_saved", "budget")] == [None] * 4
    freshness = stats["freshness"]
    assert (freshness["round"], freshness["labels_behind"], freshness["next_round_in"]) == (0, 1, 9)
    assert freshness["training"] is False
    assert freshness["trouble"] is None
    assert freshness["encoding"] == {"progress": 0.0, "message": ""}
    assert stats["encoder"] is None


def test_stats_say_what_the_encoder_cannot_read(
    owner: httpx.Client, project: dict[str, Any], database: Database
) -> None:
    seen = {"sample": 10, "items": 10, "found": {"de": 8, "en": 1}, "unclear": 1, "known": ["en"]}
    number = int(project["id"])
    with database.write() as session:
        session.add(
            Encoder(
                project_id=number, name="minilm", version="1", digest="x", dim=2, dtype="float16", path="p",
                details={"languages": seen},
            )
        )  # fmt: skip
        session.add(FeatureShard(project_id=number, start=0, stop=10, path="q", n_cut=2))
    told = owner.get(at(project, "stats")).json()["encoder"]
    assert (told["name"], told["cut_share"]) == ("minilm", 0.2)
    assert told["languages"] == {
        "sample": 10,
        "found": [
            {"language": "de", "name": "German", "share": 0.8},
            {"language": "en", "name": "English", "share": 0.1},
        ],
        "unclear": 0.1,
        "known": ["en"],
    }
    assert [words[:19] for words in told["words"]] == ["About 80 % of a sam", "20.0 % of the texts"]


def test_eight_people_at_once_label_every_item_once(owner: httpx.Client, api: Api, sign_up: Callable[..., str]) -> None:
    project = make_project(owner)
    add(owner, project, *({"text": f"{word(n)} {word(n + 3)}"} for n in range(300)))
    people = []
    for n in range(8):
        people.append(api(sign_up(f"person{n}@example.org")))
        body = {"email": f"person{n}@example.org", "role": "annotator"}
        owner.post(at(project, "members"), json=body).raise_for_status()

    def work(client: httpx.Client) -> tuple[list[str], list[str]]:
        served: list[str] = []
        labelled: list[str] = []
        while items := claim(client, project, 3):
            served += [item["id"] for item in items]
            rows = [{"item": item["id"], "label": "spam", "lease": item["lease"]["id"]} for item in items]
            labelled += [entry["item"] for entry in send(client, project, *rows)["accepted"]]
        return served, labelled

    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work, people))
    served = Counter(item for mine, _ in results for item in mine)
    labelled = Counter(item for _, mine in results for item in mine)
    assert len(served) == len(labelled) == 300
    assert set(served.values()) == set(labelled.values()) == {1}
    rows = [json.loads(line) for line in owner.get(at(project, "labels")).text.splitlines()]
    assert Counter(row["item"] for row in rows) == labelled
    stats = owner.get(at(project, "stats")).json()
    assert (stats["labeled"], stats["remaining"]) == (300, 0)
