"""``/v1`` on the UI's own origin: passed on to the API, bodies streamed both ways, the cookie turned into a token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http.cookies import CookieError, SimpleCookie

import httpx
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ui.settings import UiSettings

# RFC 9110, 7.6.1: these speak about one connection only. Cookies stay here; the address is ours to state.
_NOT_PASSED = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "host", "cookie", "origin", "referer", "forwarded", "x-forwarded-for",
        "x-forwarded-host", "x-forwarded-proto",
    }
)  # fmt: skip
_NOT_RETURNED = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "set-cookie", "server", "date"})
_SMALL = 1 << 16
# The API closes idle connections after 5 s (uvicorn's default): let go of them before it does.
_KEEPALIVE = 4.0


def make_http() -> httpx.AsyncClient:
    """The connections to the API. Reading has no limit in time: an upload of gigabytes is answered at its end."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(30.0, read=600.0, pool=60.0),
        limits=httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=_KEEPALIVE),
        trust_env=False,
        follow_redirects=False,
    )


def problem(status: int, title: str, detail: str) -> Response:
    """An RFC 9457 answer of our own."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(json.dumps(body), status, media_type="application/problem+json")


def session_token(headers: Headers, cookie: str) -> str | None:
    """The token in our session cookie, if there is one."""
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return None
    return jar[cookie].value if cookie in jar else None


class PassOn:
    """ASGI application that sends each request on to the API and streams its answer back."""

    def __init__(self, settings: UiSettings, http: httpx.AsyncClient):
        self._settings = settings
        self._http = http

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        request = Request(scope, receive)
        try:
            response = await self._ask(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _ask(self, request: Request) -> Response:
        path = request.scope.get("raw_path", request.scope["path"].encode()).decode("ascii", "replace").split("?")[0]
        query = request.scope["query_string"].decode("latin-1")
        url = httpx.URL(self._settings.api_url + path + (f"?{query}" if query else ""))
        if not url.raw_path.decode("ascii").partition("?")[0].endswith(path):
            # Dots that httpx has resolved: what was asked for below /v1 must not end somewhere else.
            return problem(404, "Not found", "There is nothing at this address.")
        length = request.headers.get("content-length")
        chunked = "transfer-encoding" in request.headers
        whole = await request.body() if not chunked and int(length or 0) <= _SMALL else None
        for last in (False, True):
            outgoing = self._http.build_request(
                request.method,
                url,
                headers=self._headers(request),
                content=whole if whole is not None else _body(request),
            )
            try:
                answer = await self._http.send(outgoing, stream=True)
            except httpx.ConnectError:
                break
            except httpx.RemoteProtocolError:
                # A kept connection that the API closed just now. What only reads may be asked again.
                if last or request.method not in {"GET", "HEAD"}:
                    break
            except httpx.TransportError:
                break
            else:
                return _answer(answer)
        return problem(502, "The API does not answer", "Nothing was lost: try again in a moment.")

    def _headers(self, request: Request) -> list[tuple[str, str]]:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _NOT_PASSED]
        if "authorization" not in request.headers:
            token = session_token(request.headers, self._settings.cookie)
            if token is not None and token.isascii() and token.isprintable():
                headers.append(("authorization", f"Bearer {token}"))
        if request.client is not None:
            headers.append(("x-forwarded-for", request.client.host))
        return headers


async def _body(request: Request) -> AsyncIterator[bytes]:
    async for piece in request.stream():
        if piece:
            yield piece


def _answer(answer: httpx.Response) -> Response:
    response = StreamingResponse(_pieces(answer), status_code=answer.status_code)
    kept = [
        (name.lower(), value)
        for name, value in answer.headers.raw
        if name.lower().decode("latin-1") not in _NOT_RETURNED
    ]
    response.raw_headers = kept
    return response


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.aiter_raw():
            yield piece
    finally:
        await answer.aclose()
