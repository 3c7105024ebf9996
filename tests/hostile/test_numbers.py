"""Ids, limits, versions and seconds that no column holds, and JSON that is made to hurt whoever reads it."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import make_project
from tests.hostile.world import problem_of
from winnow.project_settings import BUDGETS

#: No id: not a positive decimal in ASCII that fits 64 bits, or one that nothing bears.
NO_IDS = (
    "0", "01", "1e3", "%D9%A1", "%00", "9223372036854775807", "9223372036854775808", "2147483648", "9" * 40,
)  # fmt: skip
#: The last two are beyond every float, too.
HUGE = (2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**30, -(2**63) - 1, 10**400, -(10**400))


@pytest.fixture
def project(owner: httpx.Client) -> str:
    made = str(make_project(owner)["id"])
    owner.post(f"/projects/{made}/items", json={"items": [{"text": "hello"}]}).raise_for_status()
    return made


def test_what_is_no_id_leads_nowhere_at_every_address(owner: httpx.Client, url: str, project: str) -> None:
    paths = owner.get(f"{url}/openapi.json").json()["paths"]
    wrong = []
    for path, operations in paths.items():
        for method in operations:
            names = re.findall(r"{(\w+)}", path)
            for name in names:
                for bad in NO_IDS:
                    ids = {other: project if other == "p" else "1" for other in names} | {name: bad}
                    sends = {} if method == "get" else {"json": {"labels": [], "size": 1, "items": [], "email": "a@b"}}
                    answer = owner.request(method, url + path.format(**ids), **sends)  # type: ignore[arg-type]
                    # 422: what was sent is looked at first.
                    known = (404,) if method == "get" else (404, 422)
                    if answer.status_code not in known or "problem" not in answer.headers["content-type"]:
                        wrong.append((method, path, name, bad[:40], answer.status_code))
    assert wrong == []


def test_numbers_that_no_column_holds_are_refused(owner: httpx.Client, project: str) -> None:
    at = f"/projects/{project}"
    item = owner.get(f"{at}/items").json()["data"][0]["id"]
    for number in HUGE:
        assert owner.get(f"{at}/items", params={"limit": number}).status_code == 422
        for path in (
            "/projects",
            "/users",
            "/tokens",
            f"{at}/items",
            f"{at}/rounds",
            f"{at}/students",
            f"{at}/members",
        ):
            answer = owner.get(path, params={"cursor": number})
            assert answer.status_code == (200 if 0 < number < 2**63 else 422), (path, number, answer.text)
        assert owner.get(f"{at}/leases", params={"cursor": number}).status_code == 422
        assert owner.post(f"{at}/batches", json={"size": number}).status_code == 422
        assert owner.post(f"{at}/batches", json={"size": 1, "lease_seconds": number}).status_code == 422
        answer = owner.post(f"{at}/predictions", json={"items": [], "version": number})
        assert answer.status_code == (404 if number > 0 else 422), answer.text
        refused: list[dict[str, object]] = [
            *({name: number} for name in ("overlap", "batch_size", "lease_seconds", "holdout")),
            {"holdout": {"precision": number}},
        ]
        for settings in refused:
            made = {"name": "n", "task": "text", "labels": ["a", "b"], "settings": settings}
            assert owner.patch(at, json={"settings": settings}).status_code == 422, (settings, number)
            assert owner.post("/projects", json=made).status_code == 422, (settings, number)
        for budget in BUDGETS:
            answer = owner.patch(at, json={"settings": {"budget": {budget: number}}})
            assert answer.status_code == (200 if 0 < number < 10**300 else 422), (budget, number, answer.text)
        entries = [
            {"item": number, "label": "spam"},
            {"item": item, "label": "spam", "lease": number},
            {"item": item, "label": "spam", "seconds": number},
            {"item": item, "label": number},
            {"item": item, "label": "spam", "request_id": number},
        ]
        answer = owner.post(f"{at}/labels", json={"labels": entries})
        assert (answer.status_code, answer.json()["accepted"]) == (201, []), answer.text
        reasons = [entry["reason"] for entry in answer.json()["rejected"]]
        assert (len(reasons), reasons[2]) == (5, "seconds must be a number from 0 up.")
        rows = [
            {"text": "t", "key": number},
            {"text": number},
            {"features": [number]},
            {"text": "u", "meta": {"n": number}},
        ]
        assert owner.post(f"{at}/items", json={"items": rows}).status_code == 201
        assert owner.get(f"{at}/items").status_code == 200


def test_a_number_in_meta_comes_back_as_it_was_or_is_refused(owner: httpx.Client, project: str) -> None:
    """JSON knows no size of numbers, PostgreSQL's jsonb knows other limits than Python's floats."""
    for number in (
        "1e400",
        "-1e400",
        "1e-400",
        "123456789012345678901234567890",
        "0.1",
        "-0.0",
        "1e308",
        "NaN",
        "Infinity",
    ):
        answer = owner.post(
            f"/projects/{project}/items",
            content=f'{{"items": [{{"text": "n {number}", "key": "n{number}", "meta": {{"n": {number}}}}}]}}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code in (201, 422), (number, answer.text)
        if answer.status_code == 201 and answer.json()["created"]:
            (found,) = owner.get(f"/projects/{project}/items", params={"q": f"n{number}"}).json()["data"]
            # jsonb writes a large float in all its digits; as a number it is the same.
            assert float(found["meta"]["n"]) == float(json.loads(number)), number


def deep(levels: int, opening: str = "[", closing: str = "]", inner: str = "") -> str:
    return opening * levels + inner + closing * levels


#: JSON that hurts, and what it gets where any object would do.
BOMBS = {
    "deep lists": (deep(100_000), 422),
    "deep objects": (deep(100_000, '{"a":', "}", "1"), 422),
    "deep in a field": (f'{{"name": {deep(50_000)}}}', 422),
    "cut off": ('{"name": "a', 422),
    "nothing": ("", 422),
    "a number of a million digits": ("9" * 1_000_000, 422),
    "a huge exponent": ('{"name": 1e999999999}', 422),
    "no number": ('{"name": NaN}', 422),
    "not UTF-8": (b'{"name": "\xff\xfe"}', 422),
    "UTF-16": ('{"name": "a"}'.encode("utf-16"), 201),
    "a byte order mark": (b'\xef\xbb\xbf{"name": "a"}', 201),
    "two values": ('{"name": "a"} {"name": "b"}', 422),
    "the same name twice": ('{"name": 7, "name": "last"}', 201),
    "a prototype": ('{"name": "a", "__proto__": {"role": "owner"}}', 422),
    "a list": ('[{"name": "a"}]', 422),
    "text": ('"name"', 422),
}


def test_json_that_hurts_is_refused_in_words(owner: httpx.Client) -> None:
    for what, (body, expected) in BOMBS.items():
        answer = owner.post("/tokens", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == expected, (what, answer.text[:300])
        if expected == 422:
            assert len(problem_of(answer)["detail"]) < 500, what
    assert owner.get("/me").status_code == 200


def test_deep_and_wide_meta_is_refused_or_kept_whole(owner: httpx.Client, project: str) -> None:
    path = f"/projects/{project}/items"
    for levels in (10, 90, 150, 240, 300, 500, 900, 960, 980, 5_000, 100_000):
        body = f'{{"items": [{{"text": "deep {levels}", "meta": {{"a": {deep(levels)}}}}}]}}'
        answer = owner.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in ((201,) if levels < 900 else (201, 422)), (levels, answer.text[:200])
        if answer.status_code == 201:
            assert answer.json()["created"] == (levels < 100), levels
        assert owner.get(path).status_code == 200, levels
        assert owner.post(f"/projects/{project}/batches", json={"size": 100}).status_code == 200, levels
    wide = {"text": "wide", "meta": {str(n): n for n in range(10_000)}}
    answer = owner.post(f"/projects/{project}/items", json={"items": [wide]})
    assert (answer.json()["created"], len(answer.json()["rejected"])) == (0, 1)
    assert owner.get(f"/projects/{project}/items").status_code == 200


def test_many_faults_are_told_in_few_words(owner: httpx.Client, project: str) -> None:
    many = [{"name": "x" * 1000, "hotkey": "too long", "color": "red"}] * 20_000
    answer = owner.post("/projects", json={"name": "n", "task": "text", "labels": many})
    assert answer.status_code == 422
    assert len(answer.content) < 100_000
    labels = owner.post(f"/projects/{project}/labels", json={"labels": [{"item": "x" * 10_000}] * 1000})
    assert labels.status_code == 201
    assert len(labels.content) < 1_000_000


def test_a_packed_body_is_not_unpacked(owner: httpx.Client) -> None:
    packed = gzip.compress(b'{"name": "' + b"a" * 50_000_000 + b'"}')
    answer = owner.post(
        "/tokens", content=packed, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    assert problem_of(answer)["status"] == 422


def test_a_body_without_a_length_ends_at_the_cap(owner: httpx.Client, project: str) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"items": ["'
        for _ in range(80):
            yield b"a" * (1 << 20)

    answer = owner.post(f"/projects/{project}/items", content=pieces(), headers={"Content-Type": "application/json"})
    assert problem_of(answer)["status"] == 413
    assert owner.get("/me").status_code == 200
