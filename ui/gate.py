"""The gate that every request passes: Host and Origin checked, security headers set, ``/v1`` led off to the API."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.settings import UiSettings

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# Parts of Streamlit that this application does not use: fewer doors.
_SHUT = ("/_stcore/agent", "/_stcore/metrics", "/_stcore/upload_file", "/_stcore/script-health-check")

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}

# What an item or a download may do when a browser opens it by itself: nothing.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


def page_policy(host: str) -> str:
    """The Content-Security-Policy of the pages, as strict as Streamlit allows.

    Streamlit needs three things beyond ``'self'``: one inline script in its index (allowed by its hash), ``blob:``
    modules (how it loads the code of components, ours included) and inline styles (emotion writes them at run time).
    Neither ``unsafe-eval`` nor ``unsafe-inline`` scripts are allowed. ``host`` has been checked by the gate; browsers
    that do not count WebSockets as ``'self'`` need it spelled out.
    """
    scripts = " ".join(["'self'", "blob:", *_inline_script_hashes()])
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            f"connect-src 'self' ws://{host} wss://{host}",
            "media-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self' blob:",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )


class Gate:
    """ASGI middleware around everything that the UI serves.

    A request to a host name that is not ours is answered 421 (a page elsewhere may have pointed its own name at this
    machine); one that changes something, or opens a WebSocket, needs the ``Origin`` of our own pages, else 403. A call
    that brings its own ``Authorization`` carries nothing that a browser adds by itself, so it needs no Origin.
    ``pass_on`` gets what is under ``/v1``, ahead of Streamlit's own middleware (gzip would buffer and re-encode it).
    """

    def __init__(self, app: ASGIApp, settings: UiSettings, pass_on: ASGIApp):
        self._app = app
        self._settings = settings
        self._allowed = settings.allowed_hosts
        self._pass_on = pass_on
        _inline_script_hashes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then lead on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        refusal = self._refusal(scope, headers, host)
        path = scope["path"]
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
        elif path == "/v1" or path.startswith("/v1/"):
            await self._pass_on(scope, receive, _with_headers(send, DATA_POLICY))
        else:
            await self._app(scope, receive, _with_headers(send, page_policy(host)))

    def _refusal(self, scope: Scope, headers: Headers, host: str) -> Response | None:
        if _host_name(host) not in self._allowed:
            return PlainTextResponse(
                "This address is not one that Winnow serves. If it should be, name it in WINNOW_PUBLIC_HOSTS.\n", 421
            )
        if scope["path"].startswith(_SHUT):
            return PlainTextResponse("Not found\n", 404)
        if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
            return None
        own_authority = scope["type"] == "http" and "authorization" in headers and "origin" not in headers
        if own_authority or same_origin(headers.get("origin"), host):
            return None
        return PlainTextResponse("Refused: the request comes from another site.\n", 403)


def same_origin(origin: str | None, host: str) -> bool:
    """Whether an ``Origin`` is the site that the request was sent to."""
    if not origin:
        return False
    try:
        parts = urlsplit(origin.lower())
        port = parts.port
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or parts.hostname is None:
        return False
    default = 443 if parts.scheme == "https" else 80
    sent_name, sent_port = _split_host(host)
    return parts.hostname == sent_name and (port or default) == (sent_port or default)


def _split_host(host: str) -> tuple[str, int | None]:
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname or "", parts.port
    except ValueError:
        return "", None


def _host_name(host: str) -> str:
    if any(mark in host for mark in "/@?#\\ ;,'\""):
        return ""
    return _split_host(host)[0]


def _with_headers(send: Send, policy: str) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _ALWAYS.items():
                headers[name] = value
            headers.setdefault("Content-Security-Policy", policy)
            del headers["server"]
        await send(message)

    return send_with_headers


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        return
    await response(scope, receive, _with_headers(send, DATA_POLICY))


_hashes: tuple[str, ...] | None = None


def _inline_script_hashes() -> tuple[str, ...]:
    """CSP sources for the inline scripts of the installed Streamlit's index page; read once."""
    global _hashes
    if _hashes is None:
        index = Path(streamlit.__file__).parent / "static" / "index.html"
        bodies = re.findall(r"<script>(.*?)</script>", index.read_text(encoding="utf-8"), flags=re.DOTALL)
        _hashes = tuple(
            f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies
        )
    return _hashes
