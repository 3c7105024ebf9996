"""Nonsense at every address: answers are refusals with a problem, never a fault of ours."""

from __future__ import annotations

import json

import httpx
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import make_project

names = st.text(st.characters(), max_size=20) | st.sampled_from(["\ud800", "\x00", "a" * 5000, "/", "auto", "spam"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | names
bodies = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))
ids = st.sampled_from(["1", "0", "-1", "9" * 19, "9" * 40, "x", "%2e%2e", "%00", "current", "%ED%A0%80"])


def fields(operation: dict[str, object], document: dict[str, object]) -> list[str]:
    """The names that the body of ``operation`` may have, so that nonsense gets past the first check."""
    text = json.dumps(operation.get("requestBody", {}))
    schemas = document["components"]["schemas"]  # type: ignore[index]
    return [name for key, schema in schemas.items() if f'/{key}"' in text for name in schema.get("properties", {})]


def test_nothing_breaks_the_server(owner: httpx.Client, url: str, app: FastAPI) -> None:
    project = make_project(owner)["id"]
    document = app.openapi()
    calls = [
        (method, path, fields(operation, document))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if path not in ("/metrics", "/readyz", "/v1/auth/token")
    ]

    @settings(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def nonsense(data: st.DataObject) -> None:
        method, path, known = data.draw(st.sampled_from(calls))
        for name in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
            value = str(project) if name == "p" and data.draw(st.integers(0, 4)) else data.draw(ids)
            path = path.replace(f"{{{name}}}", value)
        body = bodies
        if known:
            body = st.fixed_dictionaries({}, optional=dict.fromkeys(known, bodies)) | bodies
        params = data.draw(
            st.dictionaries(st.sampled_from(["cursor", "limit", "format", "confirm", "q", "label"]), ids)
        )
        sent = json.dumps(data.draw(body)) if method in ("post", "patch") else None
        headers = {"Content-Type": "application/json"}
        answer = owner.request(method, url + path, content=sent, headers=headers, params=params)
        assert answer.status_code < 500 or answer.status_code == 501, (method, path, params, sent, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code

    nonsense()
