"""What holds for every answer: problems, headers, limits, hosts, and the weight of the process."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from tests.api.conftest import serving
from winnow.db.session import Database
from winnow.settings import Settings

JSON = {"Content-Type": "application/json"}


def own_app(settings: Settings, database: Database, **changes: object) -> FastAPI:
    changed = settings.model_copy(update=changes)
    return create_app(changed, database=database, send_hint=lambda kind, job_id: None)


@pytest.fixture
def strict(settings: Settings, database: Database) -> Iterator[httpx.Client]:
    """A production server with small limits that answers to label.example.org too."""
    app = own_app(
        settings,
        database,
        environment="production",
        max_body_bytes=1000,
        max_upload_bytes=5000,
        public_hosts=("label.example.org",),
    )
    with serving(app) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/me", 405),
        ("POST", "/healthz", 405),
        ("GET", "/docs", 404),
        ("GET", "/metrics", 501),
    ],
)
def test_the_routers_own_errors_are_problems(
    owner: httpx.Client, url: str, method: str, path: str, status: int
) -> None:
    answer = owner.request(method, url + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert set(body) == {"type", "title", "status", "detail"}
    assert all(body.values())


def test_a_405_says_what_is_allowed(owner: httpx.Client) -> None:
    assert owner.put("/me").headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff\xfe", b"[]", b'"x"', b"null", b"[" * 100_000], ids=lambda body: str(body[:4])
)
def test_a_body_that_cannot_be_read_is_a_problem(owner: httpx.Client, body: bytes) -> None:
    answer = owner.post("/projects", content=body, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_bug_of_ours_says_nothing_of_its_insides(
    owner: httpx.Client, app: FastAPI, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def read(self) -> None:
            raise ZeroDivisionError("secret insides")

    app.state.database = Broken()
    answer = owner.get("/me", headers={"X-Request-Id": "mine-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    logged = json.loads(caplog.records[0].getMessage())
    assert (logged["request_id"], logged["event"]) == ("mine-1", "unexpected")
    assert "secret insides" in logged["exception"]


@pytest.mark.parametrize("path", ["/healthz", "/v1/me", "/nothing", "/openapi.json"])
def test_every_answer_bears_the_security_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "strict-transport-security" not in headers
    assert headers.get("cache-control") == ("no-store" if path.startswith("/v1") else None)


def test_production_adds_hsts(strict: httpx.Client) -> None:
    assert strict.get("/healthz").headers["strict-transport-security"].startswith("max-age=31536000")


@pytest.mark.parametrize(("given", "kept"), [("trace-1.a_b", True), ("a b", False), ("x" * 65, False), ("<b>", False)])
def test_a_request_id_is_kept_if_it_is_harmless(client: httpx.Client, given: str, kept: bool) -> None:
    answered = client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"]
    assert (answered == given) is kept
    assert answered


def chunks(n: int, size: int = 500) -> Iterator[bytes]:
    for _ in range(n):
        yield b" " * size


@pytest.mark.parametrize(
    ("path", "n", "refused"),
    [
        ("/v1/projects", 2, False),
        ("/v1/projects", 3, True),
        ("/v1/auth/token", 200, True),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_bodies_have_a_limit_whether_they_state_their_length_or_not(
    strict: httpx.Client, owner_token: str, path: str, n: int, refused: bool, streamed: bool
) -> None:
    content = chunks(n) if streamed else b"".join(chunks(n))
    answer = strict.post(path, content=content, headers={**JSON, "Authorization": f"Bearer {owner_token}"})
    assert (answer.status_code == 413) is refused
    assert answer.headers["content-type"] == "application/problem+json"
    if refused:
        assert answer.json()["title"] == "Too large"
        assert "limit of" in answer.json()["detail"]


def test_an_upload_has_a_limit_of_its_own(strict: httpx.Client, owner_token: str) -> None:
    headers = {"Authorization": f"Bearer {owner_token}"}
    codes = [
        strict.post("/v1/projects/1/imports", content=b"".join(chunks(n)), headers=headers).status_code
        for n in (3, 2200)
    ]
    assert codes == [404, 413]


def test_nobody_without_a_token_gets_a_body_read(strict: httpx.Client) -> None:
    answer = strict.post("/v1/projects", content=b"".join(chunks(3)))
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("LABEL.example.org", 200),
        ("evil.example.org", 400),
        ("label.example.org.evil.org", 400),
        ("10.0.0.1", 400),
        ("", 400),
    ],
)
def test_only_known_hosts_are_answered(strict: httpx.Client, host: str, status: int) -> None:
    answer = strict.get("/healthz", headers={"Host": host})
    assert answer.status_code == status
    if status == 400:
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("host", "status"), [("10.0.0.1:8000", 200), ("[fe80::1]", 200), ("evil.example.org", 400)])
def test_bound_to_every_address_it_answers_to_bare_addresses(
    settings: Settings, database: Database, host: str, status: int
) -> None:
    with serving(own_app(settings, database, host="0.0.0.0")) as address:
        assert httpx.get(f"{address}/healthz", headers={"Host": host}).status_code == status


def test_the_access_log_is_json_and_holds_no_secret(
    owner: httpx.Client, owner_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "winnow.access"):
        owner.get("/projects", params={"cursor": "7"})
        deadline = time.monotonic() + 10
        lines: list[str] = []
        while not lines and time.monotonic() < deadline:  # it is written after the answer was sent
            time.sleep(0.005)
            lines = [record.getMessage() for record in caplog.records if record.name == "winnow.access"]
    line = json.loads(lines[-1])
    assert line.items() >= {"event": "request", "method": "GET", "path": "/v1/projects", "status": 200}.items()
    assert owner_token not in caplog.text


def test_openapi_documents_problems_and_the_bearer_scheme(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    ids = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            codes = operation["responses"]
            assert all(
                answer["content"] == problem for code, answer in codes.items() if code[0] in "45" and path != "/readyz"
            ), (method, path)
            if operation.get("security"):
                assert {"401", "403"} <= set(codes)
            assert operation["description"]
    assert len(ids) == len(set(ids))
    assert "HTTPValidationError" not in json.dumps(document)


def test_the_process_is_light() -> None:
    code = """
import sys, json, tempfile, pathlib, psutil
from api.app import create_app
from winnow.settings import Settings
create_app(Settings(data=pathlib.Path(tempfile.mkdtemp()))).openapi()
heavy = ["torch", "sklearn", "scipy", "transformers", "pandas", "onnxruntime", "PIL", "streamlit", "alembic", "celery"]
heavy += ["models", "sampler", "worker"]
print(json.dumps([[m for m in heavy if m in sys.modules], psutil.Process().memory_info().rss >> 20]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, megabytes = json.loads(done.stdout)
    assert loaded == []
    assert megabytes <= 150
