"""The gate and the passing on, over real sockets but without Streamlit: who is let in, and that bodies stream."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.ui.servers import free_port, wait_until
from ui.gate import Gate, page_policy, same_origin
from ui.proxy import PassOn, make_http
from ui.settings import UiSettings


class Upstream:
    """A stand-in for the API that tells what reached it, and can be held in the middle of a body."""

    def __init__(self) -> None:
        self.first_piece_arrived = threading.Event()
        self.go_on = threading.Event()
        self.received = 0
        self.app = Starlette(
            routes=[
                Route("/v1/echo", self.echo, methods=["GET", "POST", "DELETE"]),
                Route("/v1/upload", self.upload, methods=["POST"]),
                Route("/v1/download", self.download),
                Route("/v1/problem", self.problem),
            ]
        )

    async def echo(self, request: Request) -> Response:
        body = (await request.body()).decode()
        return JSONResponse({"headers": dict(request.headers), "query": str(request.query_params), "body": body})

    async def upload(self, request: Request) -> Response:
        async for piece in request.stream():
            self.received += len(piece)
            self.first_piece_arrived.set()
        return JSONResponse({"received": self.received}, 202)

    async def download(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"first"
            while not self.go_on.is_set():
                await asyncio.sleep(0.005)
            yield b"second"

        headers = {"content-disposition": 'attachment; filename="labels.csv"', "set-cookie": "theirs=1"}
        return StreamingResponse(pieces(), media_type="text/csv", headers=headers)

    async def problem(self, request: Request) -> Response:
        return JSONResponse({"title": "No"}, 409, media_type="application/problem+json")


def serve(app: object, port: int) -> tuple[uvicorn.Server, threading.Thread]:
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=1)  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server has started")
    return server, thread


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def site(upstream: Upstream) -> Iterator[httpx.Client]:
    """A browser's-eye view of the gate: a client at its address that sends its own Origin."""
    api_port, port = free_port(), free_port()
    settings = UiSettings(port=port, api_url=f"http://127.0.0.1:{api_port}", public_hosts=("label.example.org",))
    http = make_http()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with http:
            yield

    pages = Starlette(
        routes=[Route("/", lambda request: PlainTextResponse("page"), methods=["GET", "POST"])],
        middleware=[Middleware(Gate, settings=settings, pass_on=PassOn(settings, http))],
        lifespan=lifespan,
    )
    running = [serve(upstream.app, api_port), serve(pages, port)]
    url = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=url, headers={"Origin": url}, trust_env=False, timeout=20) as client:
        yield client
    for server, thread in reversed(running):
        server.should_exit = True
        thread.join(10)


def test_the_cookie_becomes_the_bearer_token_and_goes_no_further(site: httpx.Client) -> None:
    cookie = UiSettings(port=site.base_url.port or 0).cookie
    site.cookies.set(cookie, "wn_secret")
    seen = site.post("/v1/echo?a=1&b=%20x", json={"c": 2}).json()
    assert seen["headers"]["authorization"] == "Bearer wn_secret"
    assert "cookie" not in seen["headers"]
    assert seen["headers"]["x-forwarded-for"] == "127.0.0.1"
    assert (seen["query"], seen["body"]) == ("a=1&b=+x", '{"c":2}')


def test_a_token_of_ones_own_is_passed_on_and_needs_no_origin(site: httpx.Client) -> None:
    del site.headers["Origin"]
    cookie = UiSettings(port=site.base_url.port or 0).cookie
    seen = site.post("/v1/echo", headers={"Authorization": "Bearer mine", "Cookie": f"{cookie}=wn_secret"}).json()
    assert seen["headers"]["authorization"] == "Bearer mine"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost", None])
def test_what_changes_something_is_refused_from_another_site(site: httpx.Client, origin: str | None) -> None:
    del site.headers["Origin"]
    site.cookies.set(UiSettings(port=site.base_url.port or 0).cookie, "wn_secret")
    headers = {"Origin": origin} if origin is not None else {}
    for path in ("/v1/echo", "/"):
        for method in ("POST", "DELETE", "PUT", "PATCH"):
            assert site.request(method, path, headers=headers).status_code == 403, (method, path)


def test_an_unknown_host_name_is_misdirected(site: httpx.Client) -> None:
    for host in ("evil.example", "evil.example:8501", "127.0.0.1.evil.example", "a@127.0.0.1", "", "["):
        assert site.get("/v1/echo", headers={"Host": host}).status_code == 421, host


def test_our_own_names_are_served(site: httpx.Client) -> None:
    for host in ("localhost", "127.0.0.1:99", "[::1]:8501", "LABEL.example.org", "label.example.org:443"):
        assert site.get("/", headers={"Host": host}).status_code == 200, host


def test_a_public_name_behind_tls_is_its_own_origin() -> None:
    assert same_origin("https://label.example.org", "label.example.org")
    assert same_origin("http://[::1]:8501", "[::1]:8501")
    assert not same_origin("https://label.example.org.evil", "label.example.org")
    assert not same_origin("file:///label.example.org", "label.example.org")


def test_an_upload_streams_through(site: httpx.Client, upstream: Upstream) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100_000
        assert upstream.first_piece_arrived.wait(20), "the first piece arrives before the second is sent"
        yield b"y" * 100_000

    answer = site.post("/v1/upload", content=pieces())
    assert (answer.status_code, answer.json()) == (202, {"received": 200_000})


def test_a_download_streams_through_with_its_headers_but_without_cookies(
    site: httpx.Client, upstream: Upstream
) -> None:
    with site.stream("GET", "/v1/download") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first"  # here before the rest has been made
        upstream.go_on.set()
        assert b"".join(pieces) == b"second"
    assert answer.headers["content-disposition"] == 'attachment; filename="labels.csv"'
    assert "set-cookie" not in answer.headers


def test_what_comes_from_the_api_is_nothing_to_run(site: httpx.Client) -> None:
    answer = site.get("/v1/problem")
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_without_the_api_the_answer_is_a_problem(upstream: Upstream) -> None:
    settings = UiSettings(api_url=f"http://127.0.0.1:{free_port()}")

    async def ask() -> httpx.Response:
        async with make_http() as http:
            transport = httpx.ASGITransport(PassOn(settings, http))
            async with httpx.AsyncClient(transport=transport, base_url="http://ui") as client:
                return await client.get("/v1/me")

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["title"]) == (502, "The API does not answer")


def test_the_policy_of_the_pages_allows_no_eval_and_no_inline_script() -> None:
    policy = dict(part.split(" ", 1) for part in page_policy("127.0.0.1:8501").split("; "))
    assert policy["default-src"] == "'none'"
    assert set(policy["script-src"].split()) - {"'self'", "blob:"} == {
        source for source in policy["script-src"].split() if source.startswith("'sha256-")
    }
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'self'")
    assert "http" not in policy["img-src"] + policy["font-src"] + policy["style-src"]
