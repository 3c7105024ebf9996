"""Characters that no text holds (U+0000, halves of surrogate pairs), and odd ones, wherever text comes in.

PostgreSQL refuses U+0000 in a text, SQLite takes it: both must answer alike, and never with a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import make_project
from tests.hostile.world import problem_of

#: What no text holds: a program sent it, nobody typed it.
BROKEN = ("a\0b", "a\ud800b", "\udfff\ud800")
#: Odd, but text: kept as it is.
ODD = (
    "\u202etxt.exe",  # turns the direction of reading
    "a\u200bb\u2060c\ufeff",  # zero width
    "e\u0301" * 20,  # combining
    "\U0001f469\u200d\U0001f680",  # joined
    "'; DROP TABLE items; --",
    "{{7*7}} ${7*7} %s %(x)s",
    "=1+1",
    "\ufffe\uffff\U0010ffff",  # no characters, yet valid
    "ı İ ß ſ",
    "100%_\\",
)


def send(client: httpx.Client, method: str, path: str, body: object) -> httpx.Response:
    """Like ``client.request(json=…)``, for what only escapes can say: halves of surrogate pairs."""
    return client.request(method, path, content=json.dumps(body).encode(), headers={"Content-Type": "application/json"})


#: Field → (method, path, body with the text in it, the refusal).
FIELDS: dict[str, tuple[str, str, Callable[[str], object], int]] = {
    "sign-in e-mail": ("POST", "/auth/token", lambda x: {"email": x, "password": "p"}, 401),
    "sign-in password": ("POST", "/auth/token", lambda x: {"email": "a@b", "password": x}, 401),
    "new password": ("POST", "/me/password", lambda x: {"current": "12345678", "new": x * 8}, 422),
    "present password": ("POST", "/me/password", lambda x: {"current": x, "new": "long enough"}, 422),
    "token name": ("POST", "/tokens", lambda x: {"name": x}, 422),
    "user e-mail": ("POST", "/users", lambda x: {"email": f"{x}@b", "password": "long enough"}, 422),
    "project name": ("POST", "/projects", lambda x: {"name": x, "task": "text", "labels": ["a"]}, 422),
    "class name": ("POST", "/projects", lambda x: {"name": "n", "task": "text", "labels": ["a", x]}, 422),
    "class description": (
        "POST", "/projects",
        lambda x: {"name": "n", "task": "text", "labels": [{"name": "a", "description": x}]}, 422,
    ),
    "class hotkey": (
        "POST", "/projects", lambda x: {"name": "n", "task": "text", "labels": [{"name": "a", "hotkey": x[1]}]}, 422,
    ),
    "class color": (
        "POST", "/projects", lambda x: {"name": "n", "task": "text", "labels": [{"name": "a", "color": x}]}, 422,
    ),
    "guidelines": (
        "POST", "/projects", lambda x: {"name": "n", "task": "text", "labels": ["a"], "guidelines": x}, 422,
    ),
    "setting": ("PATCH", "/projects/{p}", lambda x: {"settings": {"strategy": x}}, 422),
    "setting's name": ("PATCH", "/projects/{p}", lambda x: {"settings": {x: 1}}, 422),
    "new name": ("PATCH", "/projects/{p}", lambda x: {"name": x}, 422),
    "new guidelines": ("PATCH", "/projects/{p}", lambda x: {"guidelines": x}, 422),
    "new class": ("PATCH", "/projects/{p}", lambda x: {"labels": ["spam", "ham", x]}, 422),
    "member e-mail": ("POST", "/projects/{p}/members", lambda x: {"email": f"{x}@b", "role": "viewer"}, 422),
    "member role": ("POST", "/projects/{p}/members", lambda x: {"email": "a@b", "role": x}, 422),
    "unknown field": ("POST", "/tokens", lambda x: {"name": "n", x: 1}, 422),
    "export format": ("POST", "/projects/{p}/students/current/exports", lambda x: {"format": x}, 422),
    "text to predict": ("POST", "/projects/{p}/predictions", lambda x: {"items": [{"text": x}]}, 409),
}  # fmt: skip

#: Field → a row of an import or a request that is rejected by itself.
ITEM_FIELDS: dict[str, Callable[[str], dict[str, object]]] = {
    "text": lambda x: {"text": x},
    "key": lambda x: {"text": "t", "key": x},
    "meta": lambda x: {"text": "t", "meta": {"a": x}},
    "meta name": lambda x: {"text": "t", "meta": {x: 1}},
    "deep meta": lambda x: {"text": "t", "meta": {"a": [[{"b": x}]]}},
    "label": lambda x: {"text": "t", "label": x},
    "labels": lambda x: {"text": "t", "labels": [x]},
    "split": lambda x: {"text": "t", "split": x},
    "image": lambda x: {"image": x},
    "unknown": lambda x: {"text": "t", x: 1},
}

LABEL_FIELDS: dict[str, Callable[[str], dict[str, object]]] = {
    "item": lambda x: {"item": x, "label": "spam"},
    "label": lambda x: {"item": "1", "label": x},
    "flag": lambda x: {"item": "1", "flag": x},
    "lease": lambda x: {"item": "1", "label": "spam", "lease": x},
    "request_id": lambda x: {"item": "1", "label": "spam", "request_id": x},
}


@pytest.fixture
def project(owner: httpx.Client) -> str:
    """A project with one item, whose id is 1."""
    made = str(make_project(owner)["id"])
    owner.post(f"/projects/{made}/items", json={"items": [{"text": "hello", "key": "k"}]}).raise_for_status()
    return made


def test_a_broken_text_is_refused_in_every_field(owner: httpx.Client, project: str) -> None:
    wrong = []
    for field, (method, path, body, refusal) in FIELDS.items():
        for text in BROKEN:
            answer = send(owner, method, path.format(p=project), body(text))
            # Half a pair is refused before it is tried, and guesses are slowed down after five wrong ones.
            allowed = {refusal, 422, 429} if method == "POST" and path == "/auth/token" else {refusal, 429}
            if problem_of(answer)["status"] not in allowed:
                wrong.append((field, text, answer.status_code, answer.text[:200]))
    assert wrong == []
    shown = owner.get(f"/projects/{project}").json()
    assert (shown["name"], [label["name"] for label in shown["labels"]]) == ("mail", ["spam", "ham"])


def test_a_broken_text_in_an_item_costs_that_item_only(owner: httpx.Client, project: str) -> None:
    for field, row in ITEM_FIELDS.items():
        items = [*(row(text) for text in BROKEN), {"text": f"good {field}"}]
        answer = send(owner, "POST", f"/projects/{project}/items", {"items": items})
        assert answer.status_code == 201, answer.text
        assert answer.json()["created"] == 1
        assert [entry["index"] for entry in answer.json()["rejected"]] == [0, 1, 2], field


def test_a_broken_text_in_a_label_costs_that_label_only(owner: httpx.Client, project: str) -> None:
    item = owner.get(f"/projects/{project}/items").json()["data"][0]["id"]
    for field, row in LABEL_FIELDS.items():
        rows = [{"item": item, **row(text)} for text in BROKEN]
        answer = send(owner, "POST", f"/projects/{project}/labels", {"labels": [*rows, {"item": item, "label": "ham"}]})
        assert answer.status_code == 201, answer.text
        assert (len(answer.json()["accepted"]), len(answer.json()["rejected"])) == (1, 3), field


def test_a_broken_text_in_a_query_finds_nothing_and_breaks_nothing(owner: httpx.Client, project: str) -> None:
    at = f"/projects/{project}"
    for raw in ("%00", "a%00b", "%ED%A0%80", "%FF%FE", "%C0%80"):
        for name in ("q", "label"):
            answer = owner.get(f"{at}/items?{name}={raw}")
            assert (answer.status_code, answer.json().get("data")) == (200, []), (name, raw, answer.text)
        for path in (f"{at}/items", "/projects", "/users", "/tokens", f"{at}/leases", f"{at}/rounds", f"{at}/students"):
            assert owner.get(f"{path}?cursor={raw}").status_code == 422, (path, raw)
        assert owner.get(f"{at}/items?status={raw}").status_code == 422
        assert owner.delete(f"{at}?confirm={raw}").status_code == 422
        assert owner.get(f"{at}/labels?format={raw}").status_code == 422


def test_an_odd_text_is_kept_as_it_is_and_found_again(owner: httpx.Client, project: str) -> None:
    path = f"/projects/{project}/items"
    for text in ODD:
        row: dict[str, Any] = {"text": f"odd {text}", "meta": {text: [text]}}
        added = send(owner, "POST", path, {"items": [row]})
        assert added.json()["created"] == 1, added.text
        (found,) = owner.get(path, params={"q": text}).json()["data"]
        assert (found["text"], found["meta"]) == (row["text"], row["meta"])
        assert owner.get(f"{path}/{found['id']}/content").content.decode() == row["text"]
        flag = {"labels": [{"item": found["id"], "flag": text}]}
        assert len(send(owner, "POST", f"/projects/{project}/labels", flag).json()["accepted"]) == 1
        exported = owner.get(f"/projects/{project}/labels").content.decode().rstrip("\n").split("\n")
        assert json.loads(exported[-1])["flag"] == text
        renamed = send(owner, "PATCH", f"/projects/{project}", {"name": text, "labels": ["spam", "ham", text]})
        assert (renamed.status_code, renamed.json()["name"]) == (200, text), renamed.text
        assert renamed.json()["labels"][2]["name"] == text
        assert owner.get(path, params={"label": text}).json()["data"] == []


def test_file_names_and_fields_of_an_import_may_hold_anything(owner: httpx.Client, project: str) -> None:
    parts = {202: b"", 422: b'--X\r\nContent-Disposition: form-data; name="mapping"\r\n\r\n{"text": "\\u0000"}\r\n'}
    for name in ("../../etc/passwd", "a\0b.csv", "\ud800.csv", "x" * 500 + ".csv", "..\\..\\x.csv", "<b>.csv"):
        head = f'Content-Disposition: form-data; name="file"; filename="{name}"'.encode("utf-8", "surrogatepass")
        for expected, before in parts.items():
            answer = owner.post(
                f"/projects/{project}/imports",
                content=before + b"--X\r\n" + head + b"\r\n\r\ntext\nhello\n\r\n--X--\r\n",
                headers={"Content-Type": "multipart/form-data; boundary=X"},
            )
            assert answer.status_code == expected, (name, answer.text)
