"""Items, batches, leases and labels."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.contract.conftest import People, make_project, png, texts, truth
from tests.contract.test_people import problem

BATCH_ITEM = {"id", "key", "text", "meta", "score", "reason", "prediction", "lease"}
EXPORT = ["id", "item", "key", "label", "skip", "flag", "user", "at", "seconds", "round", "source", "split"]
EXPORT += ["mechanism", "probability"]


def batch(client: httpx.Client, project: str, size: int, **more: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/projects/{project}/batches", json={"size": size, **more})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def send(client: httpx.Client, project: str, *labels: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(f"/projects/{project}/labels", json={"labels": list(labels)})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    assert set(body) == {"accepted", "rejected"}
    return body


def export(client: httpx.Client, project: str, **params: Any) -> list[dict[str, Any]]:
    answer = client.get(f"/projects/{project}/labels", params=params)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_items_are_counted_and_bad_ones_named(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows = [{"text": "a", "key": "1"}, {"text": "b", "key": "1"}, {"text": " "}, {"text": "a2", "label": "nope"}, {}]
    rows += [{"text": "c"}, {"text": "c"}, {"features": [1, 2]}, {"text": "d", "label": "spam"}]
    answer = owner.post(f"/projects/{project}/items", json={"items": rows})
    assert answer.status_code == 201
    body = answer.json()
    assert body["created"] == 3
    assert body["duplicates"] == 2
    assert [row["index"] for row in body["rejected"]] == [2, 3, 4, 7]
    assert all(isinstance(row["reason"], str) and row["reason"] for row in body["rejected"])
    problem(owner.post(f"/projects/{project}/items", json={"items": [{"text": str(i)} for i in range(1001)]}), 422)


def test_a_batch_has_the_shape_of_the_contract(owner: httpx.Client) -> None:
    project = make_project(owner, 20)["id"]
    answer = owner.post(f"/projects/{project}/batches", json={"size": 5}).json()
    assert set(answer) >= {"items", "ranked_by", "remaining"}
    assert set(answer["ranked_by"]) >= {"round", "labels_behind"}
    assert answer["ranked_by"]["round"] == 0
    assert answer["remaining"] == 20
    assert len(answer["items"]) == 5
    for item in answer["items"]:
        assert set(item) >= BATCH_ITEM
        assert item["score"] is None
        assert item["prediction"] is None
        assert set(item["lease"]) >= {"id", "expires_at"}
        assert item["lease"]["expires_at"].endswith(("Z", "+00:00"))
    for size in (0, 101, "x"):
        problem(owner.post(f"/projects/{project}/batches", json={"size": size}), 422)


def test_nobody_gets_what_is_held_and_the_rest_is_empty(people: People, owner: httpx.Client) -> None:
    project = make_project(owner, 10)["id"]
    second = people.join(project, "annotator")
    mine = {item["id"] for item in batch(owner, project, 6)}
    theirs = {item["id"] for item in batch(second, project, 6)}
    assert len(mine) == 6
    assert len(theirs) == 4
    assert not mine & theirs
    assert batch(owner, project, 1) == []
    held = owner.get(f"/projects/{project}/leases").json()["data"]
    assert len(held) == 6


def test_leases_page_in_the_order_in_which_they_were_handed_out(owner: httpx.Client) -> None:
    project = make_project(owner, 9)["id"]
    mine = [item["id"] for size in (3, 2, 2) for item in batch(owner, project, size)]
    at, seen, pages = f"/projects/{project}/leases", list[str](), 0
    cursor: str | None = None
    while pages == 0 or cursor is not None:
        page = owner.get(at, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [lease["item"]["id"] for lease in page["data"]]
        cursor, pages = page["next"], pages + 1
        if pages == 1:  # the lease that the page ended with goes; the next page begins behind it all the same
            assert owner.delete(f"{at}/{cursor}").status_code in (200, 204)
    assert (seen, pages) == (mine, 4)
    problem(owner.get(at, params={"cursor": "999999"}), 422)


def test_leases_are_renewed_and_given_back(owner: httpx.Client, people: People) -> None:
    project = make_project(owner, 1)["id"]
    second = people.join(project, "annotator")
    item = batch(owner, project, 1)[0]
    at = f"/projects/{project}/leases/{item['lease']['id']}"
    renewed = owner.post(f"{at}/renew")
    assert renewed.status_code == 200
    assert second.post(f"{at}/renew").status_code == 404
    assert second.delete(at).status_code == 404
    assert batch(second, project, 1) == []
    assert owner.delete(at).status_code in (200, 204)
    assert [i["id"] for i in batch(second, project, 1)] == [item["id"]]


def test_labels_are_exported_as_they_were_given(owner: httpx.Client) -> None:
    project = make_project(owner, 10)["id"]
    items = batch(owner, project, 3)
    rows = [{"item": i["id"], "label": truth(i), "lease": i["lease"]["id"], "seconds": 1.5} for i in items]
    accepted = send(owner, project, *rows)["accepted"]
    assert [a["item"] for a in accepted] == [i["id"] for i in items]
    out = export(owner, project)
    assert {row["item"]: row["label"] for row in out} == {i["id"]: truth(i) for i in items}
    for row in out:
        assert set(EXPORT) <= set(row)
        assert row["user"] is not None
        assert row["seconds"] == 1.5
        assert row["source"] == "human"
        assert row["round"] == 0
        assert row["mechanism"] in {"holdout", "exploration", "strategy"}
    reader = csv.DictReader(io.StringIO(owner.get(f"/projects/{project}/labels", params={"format": "csv"}).text))
    assert sorted(r["item"] for r in reader) == sorted(i["id"] for i in items)
    stats = owner.get(f"/projects/{project}/stats").json()
    assert (stats["items"], stats["labeled"], stats["remaining"]) == (10, 3, 7)
    assert sum(stats["per_label"].values()) == 3


def test_bad_labels_are_rejected_and_the_others_stand(owner: httpx.Client, people: People) -> None:
    project = make_project(owner, 10)["id"]
    other = make_project(owner, 1)["id"]
    second = people.join(project, "annotator")
    foreign_item = batch(owner, other, 1)[0]
    theirs = batch(second, project, 1)[0]
    mine = batch(owner, project, 3)
    body = send(
        owner,
        project,
        {"item": mine[0]["id"], "label": "eggs"},
        {"item": foreign_item["id"], "label": "spam"},
        {"item": mine[1]["id"], "label": "spam", "lease": theirs["lease"]["id"]},
        {"item": mine[2]["id"], "label": "spam", "lease": mine[2]["lease"]["id"]},
        {"item": "nonsense", "label": "spam"},
        {"item": mine[0]["id"]},
    )
    assert [a["item"] for a in body["accepted"]] == [mine[2]["id"]]
    assert len(body["rejected"]) == 5
    assert len(export(owner, project)) == 1


def test_a_request_id_counts_once(owner: httpx.Client) -> None:
    project = make_project(owner, 5)["id"]
    item = batch(owner, project, 1)[0]
    row = {"item": item["id"], "label": "spam", "lease": item["lease"]["id"], "request_id": "r1"}
    first = send(owner, project, row)
    assert send(owner, project, row) == first
    assert send(owner, project, {**row, "label": "ham"})["rejected"][0]["item"] == item["id"]
    assert [r["label"] for r in export(owner, project)] == ["spam"]
    assert len(export(owner, project, all="true")) == 1


def test_a_second_thought_supersedes_and_an_undo_gives_it_back(owner: httpx.Client) -> None:
    project = make_project(owner, 5)["id"]
    item = batch(owner, project, 1)[0]
    send(owner, project, {"item": item["id"], "label": "spam"})
    label = send(owner, project, {"item": item["id"], "label": "ham"})["accepted"][0]["id"]
    assert [r["label"] for r in export(owner, project)] == ["ham"]
    assert len(export(owner, project, all="true")) == 2
    undone = owner.delete(f"/projects/{project}/labels/{label}")
    assert undone.status_code == 200
    assert set(undone.json()) >= {"item", "lease"}
    assert export(owner, project) == []
    held = owner.get(f"/projects/{project}/leases").json()["data"]
    assert [h["id"] if "lease" in h else h["item"]["id"] for h in held] == [item["id"]]
    assert owner.get(f"/projects/{project}/stats").json()["labeled"] == 0


def test_a_skipped_item_goes_to_others_but_not_back(owner: httpx.Client, people: People) -> None:
    project = make_project(owner, 1)["id"]
    second = people.join(project, "annotator")
    item = batch(owner, project, 1)[0]
    send(owner, project, {"item": item["id"], "skip": True, "lease": item["lease"]["id"]})
    assert batch(owner, project, 1) == []
    assert [i["id"] for i in batch(second, project, 1)] == [item["id"]]
    stats = owner.get(f"/projects/{project}/stats").json()
    assert (stats["skipped"], stats["labeled"], stats["remaining"]) == (1, 0, 1)
    row = export(owner, project)[0]
    assert row["skip"] is True
    assert row["label"] is None


def test_a_flag_keeps_its_reason(owner: httpx.Client) -> None:
    project = make_project(owner, 1)["id"]
    item = batch(owner, project, 1)[0]
    send(owner, project, {"item": item["id"], "flag": "two languages"})
    assert export(owner, project)[0]["flag"] == "two languages"
    assert owner.get(f"/projects/{project}/stats").json()["flagged"] == 1


def test_overlap_two_asks_two_people(owner: httpx.Client, people: People) -> None:
    project = make_project(owner, 4, settings={"overlap": 2})["id"]
    second, third = people.join(project, "annotator"), people.join(project, "annotator")
    for client in (owner, second):
        for item in batch(client, project, 4):
            send(client, project, {"item": item["id"], "label": truth(item), "lease": item["lease"]["id"]})
    assert batch(third, project, 4) == []
    assert set(Counter(r["item"] for r in export(owner, project)).values()) == {2}


def test_imported_labels_stand_and_are_not_served(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows = [{"text": text, "label": label} for text, label in texts(6)] + [{"text": "new one"}]
    assert owner.post(f"/projects/{project}/items", json={"items": rows}).json()["created"] == 7
    assert [i["text"] for i in batch(owner, project, 10)] == ["new one"]
    assert {r["source"] for r in export(owner, project)} == {"import"}
    ignored = make_project(owner)["id"]
    owner.post(f"/projects/{ignored}/items", params={"labels": "ignore"}, json={"items": rows})
    assert len(batch(owner, ignored, 10)) == 7


def test_images_and_features_are_served_too(owner: httpx.Client) -> None:
    images = make_project(owner, task="image", settings={"encoder": "auto"})["id"]
    good = {"image": base64.b64encode(png(10)).decode()}
    bad = {"image": base64.b64encode(b"MZ no image").decode()}
    answer = owner.post(f"/projects/{images}/items", json={"items": [good, bad, {"image": "/etc/passwd"}]}).json()
    assert answer["created"] == 1
    assert [row["index"] for row in answer["rejected"]] == [1, 2]
    item = batch(owner, images, 1)[0]
    content = owner.get(item["content_url"].removeprefix("/v1"))
    assert content.content == png(10)
    assert content.headers["content-type"] == "image/png"

    vectors = make_project(owner, task="features", settings={"encoder": "auto"})["id"]
    rows = [{"features": [0.5, -1.25, 3]}, {"features": [1, 2]}, {"features": ["x"]}]
    answer = owner.post(f"/projects/{vectors}/items", json={"items": rows}).json()
    assert answer["created"] == 1
    assert batch(owner, vectors, 1)[0]["features"] == [0.5, -1.25, 3]


def test_markup_is_only_text(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    text = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    owner.post(f"/projects/{project}/items", json={"items": [{"text": text}]})
    assert batch(owner, project, 1)[0]["text"] == text


def test_eight_annotators_never_meet(owner: httpx.Client, people: People) -> None:
    project = make_project(owner, 200)["id"]
    clients = [people.join(project, "annotator") for _ in range(8)]

    def work(client: httpx.Client) -> list[str]:
        mine: list[str] = []
        while items := batch(client, project, 3):
            rows = [{"item": i["id"], "label": truth(i), "lease": i["lease"]["id"]} for i in items]
            mine += [a["item"] for a in send(client, project, *rows)["accepted"]]
        return mine

    with ThreadPoolExecutor(8) as pool:
        done = [item for mine in pool.map(work, clients) for item in mine]
    assert len(done) == len(set(done)) == 200
    assert len(export(owner, project)) == 200
    assert owner.get(f"/projects/{project}/stats").json()["remaining"] == 0
