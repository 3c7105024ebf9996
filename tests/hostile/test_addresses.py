"""Addresses and headers that mean to lead astray, at the API and through the passing on of the pages' own server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.api.conftest import make_project, serving
from ui.gate import Gate
from ui.proxy import PassOn, make_http
from ui.settings import UiSettings
from winnow.storage import Storage, check_path

PAGE = "the page"


@pytest.fixture
def database_kind() -> str:
    """One is enough: nothing here meets the database."""
    return "sqlite"


@pytest.fixture
def pages(url: str) -> Iterator[str]:
    """The gate of the pages before the API; behind it, in place of Streamlit, one word."""

    settings = UiSettings(api_url=url)
    http = make_http()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with http:
            yield

    def page(_request: Request) -> PlainTextResponse:
        return PlainTextResponse(PAGE)

    app = Starlette(
        routes=[Route("/{path:path}", page)],
        middleware=[Middleware(Gate, settings=settings, pass_on=PassOn(settings, http))],
        lifespan=lifespan,
    )
    with serving(app) as address:  # type: ignore[arg-type]
        yield address


def ask(address: str, head: bytes, body: bytes | None = None) -> tuple[int, bytes]:
    """The status and the whole answer to a request as these bytes; 0 where the connection is just closed.

    With a ``body`` nothing comes after it, whatever the head says.
    """
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as line:
        line.sendall(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" + (body or b""))
        if body is not None:
            line.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return (int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0), answer


def get(address: str, target: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *headers]
    return ask(address, "\n".join(lines).encode("latin-1"))


#: Targets that would be another address if anybody tidied them up, or decoded them twice.
TARGETS = (
    "/v1/../healthz", "/v1/%2e%2e/healthz",
     "/v1/..%2fhealthz", "/v1/%2e%2e%2fhealthz", "/v1//me", "//v1/me", "/v1/./me",
    "/v1/me/", "/v1/me%00", "/v1/me%20", "/v1/me;x=1", "/v1/%6d%65/..", "/V1/me", "/v1%2fme", "/v1\\me", "/v1/%5c../me",
    "/v1/projects/1/../../me", "/v1/projects/..%2f..%2fme", "/v1/%252e%252e/healthz", "/%2e%2e/%2e%2e/etc/passwd",
    "/..;/v1/me", "/v1/me#x", "/v1/me?x=/../", "/v1%2fme", "http://127.0.0.1/v1/me", "http://evil.example/v1/me", "*",
    "/v1/" + "a/" * 5000, "/v1/" + "%41" * 5000,
)  # fmt: skip


def test_no_spelling_of_an_address_leads_past_the_doors(url: str, pages: str) -> None:
    """Without a token: either the public health check by its own name, or nothing."""
    for target in TARGETS:
        for where in (url, pages):
            status, answer = get(where, target)
            # A target that ends outside /v1 is a page of the UI; as one, it says nothing of the API's.
            passed = where == pages and status == 200 and answer.endswith(PAGE.encode())
            assert passed or status in (400, 401, 404, 405, 414, 421, 431), (where == pages, target[:60], status)
            assert b"root:" not in answer


def test_a_token_does_not_change_what_an_address_is(url: str, pages: str, owner_token: str) -> None:
    bearer = f"Authorization: Bearer {owner_token}"
    for target in TARGETS:
        for where in (url, pages):
            status, answer = get(where, target, bearer)
            if status == 200 and not answer.endswith(PAGE.encode()):
                # Only what the standard says is the same address is the same address.
                assert target in (
                    "/v1/me?x=/../", "/v1%2fme", "http://127.0.0.1/v1/me", "http://evil.example/v1/me", "/v1/me#x",
                ), (where == pages, target[:60], answer[-300:])  # fmt: skip
            assert status < 500, (target[:60], answer[:300])


def test_foreign_hosts_and_origins_get_nothing(url: str, pages: str, owner_token: str) -> None:
    bearer = f"Authorization: Bearer {owner_token}"
    cookie = f"Cookie: winnow_session_8501={owner_token}"
    for host in (
        "evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "[::1",
        "",
        "localhost.",
        "a, 127.0.0.1",
    ):
        head = f"GET /v1/me HTTP/1.1\nHost: {host}\n{bearer}\nConnection: close".encode()
        assert ask(url, head)[0] in (400, 421), host
        assert ask(pages, head)[0] in (400, 421), host
    assert ask(url, f"GET /v1/me HTTP/1.1\n{bearer}\nConnection: close".encode())[0] == 400
    two = f"GET /v1/me HTTP/1.1\nHost: 127.0.0.1\nHost: evil.example\n{bearer}\nConnection: close".encode()
    assert ask(url, two)[0] == 400
    # The cookie is ours to send only from our own pages.
    assert get(pages, "/v1/me", cookie)[0] == 200
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://127.0.0.1.evil.example",
    ):
        status, _ = get(pages, "/v1/tokens", cookie, f"Origin: {origin}", "Content-Length: 0", method="POST")
        assert status == 403, origin
    assert get(pages, "/v1/tokens", cookie, "Content-Length: 0", method="POST")[0] == 403
    assert get(pages, "/v1/tokens", cookie, "Origin: http://127.0.0.1", "Content-Length: 0", method="POST")[0] == 422
    # At the API itself a cookie is nothing.
    assert get(url, "/v1/me", cookie)[0] == 401


def test_two_requests_in_one_are_none(url: str, pages: str, owner_token: str) -> None:
    bearer = f"Authorization: Bearer {owner_token}"
    hidden = b"GET /v1/users HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for lengths in (
        f"Content-Length: 0\nContent-Length: {len(hidden)}",
        f"Content-Length: {len(hidden)}\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: identity",
        "Transfer-Encoding: x",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 9999999999999999999999",
        "Content-Length: 1\n 2",
    ):
        head = f"POST /v1/tokens HTTP/1.1\nHost: 127.0.0.1\n{bearer}\n{lengths}\nConnection: close".encode()
        for where in (url, pages):
            status, answer = ask(where, head, hidden)
            assert status in (0, 400, 411, 413, 422, 501, 502), (lengths, where == pages, answer[:200])
            assert answer.count(b"HTTP/1.1 ") <= 1, (lengths, answer)
            assert b"owner@example.org" not in answer


def test_nothing_that_comes_in_becomes_a_header(owner: httpx.Client, url: str) -> None:
    for wanted in ("x\r\nSet-Cookie: a=b", "a b", "é", "a" * 65, "<script>"):
        head = f"GET /healthz HTTP/1.1\nHost: 127.0.0.1\nX-Request-Id: {wanted}\nConnection: close"
        status, answer = ask(url, head.encode("latin-1", "replace"))
        assert status in (200, 400)
        heads = answer.partition(b"\r\n\r\n")[0].lower()
        assert b"set-cookie" not in heads
        assert wanted.encode("latin-1", "replace") not in heads or b"a b" in wanted.encode()
    name = 'n"; filename="evil.exe\\..\\/../é'
    project = str(make_project(owner, name=name)["id"])
    answer = owner.get(f"/projects/{project}/labels")
    assert answer.headers["content-disposition"] == f'attachment; filename="labels-{project}.jsonl"'


def test_every_answer_bears_what_keeps_a_browser_from_guessing(owner: httpx.Client, url: str) -> None:
    project = str(make_project(owner)["id"])
    owner.post(f"/projects/{project}/items", json={"items": [{"text": "<script>alert(1)</script>"}]})
    item = owner.get(f"/projects/{project}/items").json()["data"][0]["id"]
    for path in (
        f"{url}/healthz", f"{url}/openapi.json", f"{url}/nothing", "/me", "/nothing", f"/projects/{project}",
        f"/projects/{project}/items", f"/projects/{project}/items/{item}/content", f"/projects/{project}/labels",
        f"/projects/{project}/labels?format=csv", "/projects/x",
    ):  # fmt: skip
        answer = owner.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["content-security-policy"].startswith("default-src 'none'"), path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert answer.headers["content-type"].partition(";")[0] in (
            "application/json", "application/problem+json", "application/x-ndjson", "text/csv", "text/plain",
        ), path  # fmt: skip
        assert "access-control-allow-origin" not in answer.headers
        if "/v1" in str(answer.url):
            assert "no-store" in answer.headers["cache-control"], path
    content = owner.get(f"/projects/{project}/items/{item}/content")
    assert content.headers["content-disposition"] == "attachment"


def test_no_path_leads_out_of_the_storage(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    for path in (
        "../secret", "a/../../secret", "/etc/passwd", "a//b", "./a", "a/.", "a\\..\\b", "a\0b", "", "..",
    ):  # fmt: skip
        calls: list[Callable[[], object]] = [
            lambda path=path: check_path(path),
            lambda path=path: storage.get_bytes(path),
            lambda path=path: storage.put_bytes(b"x", path),
            lambda path=path: storage.delete(path),
            lambda path=path: storage.local(path).__enter__(),
            lambda path=path: storage.exists(path),
            lambda path=path: storage.size(path),
        ]
        for call in calls:
            with pytest.raises(ValueError, match="not a path inside the storage"):
                call()


def test_a_body_that_never_comes_keeps_nobody_else_waiting(url: str, owner: httpx.Client, owner_token: str) -> None:
    lines = [socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) for _ in range(60)]
    head = f"POST /v1/tokens HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {owner_token}\r\n"
    try:
        for place, line in enumerate(lines):
            line.sendall((head + "Content-Length: 1000\r\n\r\n{" if place % 2 else head).encode())
        assert owner.get("/me", timeout=20).status_code == 200
        assert owner.post("/tokens", json={"name": "mine"}, timeout=20).status_code == 201
    finally:
        for line in lines:
            line.close()
