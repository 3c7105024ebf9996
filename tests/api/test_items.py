"""Items over HTTP: adding, listing, showing."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.api.conftest import make_project

Api = Callable[[str], httpx.Client]


def at(project: dict[str, Any], rest: str = "items") -> str:
    return f"/projects/{project['id']}/{rest}"


def add(client: httpx.Client, project: dict[str, Any], *rows: Any, **params: str) -> dict[str, Any]:
    answer = client.post(at(project), json={"items": list(rows)}, params=params)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def join(
    owner: httpx.Client, api: Api, sign_up: Callable[..., str], project: dict[str, Any], role: str
) -> httpx.Client:
    email = f"{role}@example.org"
    client = api(sign_up(email))
    owner.post(at(project, "members"), json={"email": email, "role": role}).raise_for_status()
    return client


def png(shade: int = 7) -> bytes:
    out = io.BytesIO()
    Image.new("L", (4, 4), shade).save(out, "PNG")
    return out.getvalue()


def test_good_items_are_kept_and_bad_ones_are_named(owner: httpx.Client, hints: list[tuple[str, int]]) -> None:
    project = make_project(owner)
    rows = [{"text": "a", "key": "1"}, {"text": "b", "key": "1"}, {"text": " "}, "no object", {"text": "c", "lable": 1}]
    body = add(owner, project, *rows, {"text": "d", "label": "eggs"})
    assert (body["created"], body["duplicates"]) == (1, 1)
    assert [entry["index"] for entry in body["rejected"]] == [2, 3, 4, 5]
    assert "'lable' is no field" in body["rejected"][2]["reason"]
    assert [kind for kind, _ in hints] == ["encode"]


def test_more_than_a_thousand_items_and_what_is_no_list_are_422(owner: httpx.Client) -> None:
    project = make_project(owner)
    for body in ({"items": [{"text": "a"}] * 1001}, {"items": "a"}, {}, [1]):
        answer = owner.post(at(project), json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    assert owner.post(at(project), content=b"{", headers={"content-type": "application/json"}).status_code == 422
    assert owner.post(at(project), json={"items": []}, params={"labels": "maybe"}).status_code == 422
    assert add(owner, project) == {"created": 0, "duplicates": 0, "rejected": []}


def test_numbers_that_json_cannot_hold_are_rejected_by_row(owner: httpx.Client) -> None:
    project = make_project(owner, task="features")
    content = '{"items": [{"features": [NaN, 1]}, {"features": [1e999, 1]}, {"features": [1, 2]}]}'
    body = owner.post(at(project), content=content, headers={"content-type": "application/json"}).json()
    assert (body["created"], [entry["index"] for entry in body["rejected"]]) == (1, [0, 1])


def test_items_are_listed_by_page_status_label_and_words(owner: httpx.Client) -> None:
    project = make_project(owner)
    add(owner, project, *({"text": f"text {n} 100% a_b", "key": f"k{n}"} for n in range(5)))
    add(owner, project, {"text": "Given", "label": "ham"}, {"text": "mine", "label": "spam", "split": "test"})
    page = owner.get(at(project), params={"limit": 4}).json()
    rest = owner.get(at(project), params={"limit": 4, "cursor": page["next"]}).json()
    assert [item["key"] for item in page["data"] + rest["data"]] == ["k0", "k1", "k2", "k3", "k4", None, None]
    assert rest["next"] is None
    ids = [item["id"] for item in page["data"]]
    labels = [{"item": ids[0], "label": "spam"}, {"item": ids[1], "skip": True}, {"item": ids[2], "flag": "odd"}]
    owner.post(at(project, "labels"), json={"labels": labels}).raise_for_status()

    def keys(**params: str) -> list[str | None]:
        answer = owner.get(at(project), params=params)
        assert answer.status_code == 200, answer.text
        return [item["key"] or item["text"] for item in answer.json()["data"]]

    assert keys(status="labeled") == ["k0", "Given"]
    assert keys(status="unlabeled") == ["k1", "k2", "k3", "k4"]
    assert keys(status="skipped") == ["k1"]
    assert keys(status="flagged") == ["k2"]
    assert keys(status="test") == ["mine"]
    held = owner.post(at(project, "batches"), json={"size": 1}).json()["items"][0]["key"]
    assert keys(status="leased") == [held]
    assert keys(label="spam") == ["k0", "mine"]
    assert keys(label="eggs") == []
    assert keys(q="GIVEN") == ["Given"]
    assert keys(q="K3") == ["k3"]
    assert keys(q="0%") == ["k0", "k1", "k2", "k3", "k4"]
    assert keys(q="a%b") == []
    assert keys(q="axb") == []
    assert owner.get(at(project), params={"status": "odd"}).status_code == 422


def test_an_item_shows_what_stands_on_it_and_its_split_to_managers_only(
    owner: httpx.Client, api: Api, sign_up: Callable[..., str]
) -> None:
    project = make_project(owner)
    add(owner, project, {"text": "<b>a</b>", "key": "k", "meta": {"v": 1}})
    annotator = join(owner, api, sign_up, project, "annotator")
    viewer = join(owner, api, sign_up, project, "viewer")
    item = annotator.get(at(project)).json()["data"][0]["id"]
    annotator.post(at(project, "labels"), json={"labels": [{"item": item, "label": "ham"}]}).raise_for_status()
    seen = owner.get(at(project, f"items/{item}")).json()
    assert {name: seen[name] for name in ("key", "text", "meta", "split", "status", "content_url", "features")} == {
        "key": "k",
        "text": "<b>a</b>",
        "meta": {"v": 1},
        "split": "pool",
        "status": "labeled",
        "content_url": None,
        "features": None,
    }
    assert [(label["label"], label["user"]) for label in seen["labels"]] == [("ham", "annotator@example.org")]
    assert viewer.get(at(project, f"items/{item}")).json()["split"] is None
    assert len(viewer.get(at(project, f"items/{item}")).json()["labels"]) == 1
    assert len(annotator.get(at(project, f"items/{item}")).json()["labels"]) == 1
    owner.post(at(project, "labels"), json={"labels": [{"item": item, "label": "spam"}]}).raise_for_status()
    assert [label["label"] for label in annotator.get(at(project, f"items/{item}")).json()["labels"]] == ["ham"]


def test_content_is_served_as_inert_bytes(owner: httpx.Client) -> None:
    images = make_project(owner, task="image")
    add(owner, images, {"image": base64.b64encode(png()).decode()})
    item = owner.get(at(images)).json()["data"][0]
    assert item["text"] is None
    answer = owner.get(item["content_url"].removeprefix("/v1"))
    assert (answer.content, answer.headers["content-type"]) == (png(), "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == "inline"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert "private" in answer.headers["cache-control"]

    texts = make_project(owner)
    add(owner, texts, {"text": "<script>alert(1)</script>"})
    item = owner.get(at(texts)).json()["data"][0]
    answer = owner.get(at(texts, f"items/{item['id']}/content"))
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == "attachment"

    vectors = make_project(owner, task="features")
    add(owner, vectors, {"features": [0.1, -1.25, 3e38]})
    item = owner.get(at(vectors)).json()["data"][0]
    assert item["features"] == [0.1, -1.25, 3e38]
    assert json.loads(owner.get(at(vectors, f"items/{item['id']}/content")).content) == [0.1, -1.25, 3e38]


def test_a_foreign_item_is_not_there(owner: httpx.Client) -> None:
    mine, other = make_project(owner), make_project(owner)
    add(owner, other, {"text": "a"})
    item = owner.get(at(other)).json()["data"][0]["id"]
    for path in (f"items/{item}", f"items/{item}/content", "items/0", "items/x", "items/99999999999999999999"):
        assert owner.get(at(mine, path)).status_code == 404


@pytest.mark.parametrize(("role", "status"), [("manager", 201), ("annotator", 403), ("viewer", 403)])
def test_only_managers_add_items(
    owner: httpx.Client, api: Api, sign_up: Callable[..., str], role: str, status: int
) -> None:
    project = make_project(owner)
    client = join(owner, api, sign_up, project, role)
    assert client.post(at(project), json={"items": [{"text": "a"}]}).status_code == status
    assert client.post(at(project, "imports"), files={"file": ("a.csv", b"text\n")}).status_code in (status, 202)
