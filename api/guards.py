"""What a request has to pass before it is read: its host, its token's presence and the size of its body."""

from __future__ import annotations

import ipaddress
import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem_response
from winnow.errors import TooLarge, Unauthenticated
from winnow.settings import Settings

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 — compared with, not bound to
_UPLOAD = re.compile(r"/v1/projects/[^/]+/imports/?")
_SIGN_IN = "/v1/auth/token"
_HOST = re.compile(r"(?:\[(?P<address>[^\[\]@]*)\]|(?P<name>[^\[\]:@]*))(?::\d*)?")
#: Room for the boundaries and the small fields around an uploaded file.
_MULTIPART_OVERHEAD = 1 << 20


class BodyTooLarge(HTTPException):
    """The body went over its limit while it was read."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, _too_large(limit))


class Guards:
    """Refuses foreign hosts (400), anonymous calls under /v1 (401) and bodies over their limit (413).

    Anonymous calls end here so that nobody without a token makes the server read or spool an upload.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = _LOOPBACK | {host.lower() for host in settings.public_hosts}
        self._any_address = settings.host in _WILDCARDS
        if not self._any_address:
            self._hosts |= {settings.host.lower().strip("[]")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self._limit(scope)
        refusal = self._refusal(scope, headers, limit)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > limit:
                    raise BodyTooLarge(limit)
            return message

        await self._app(scope, counted, send)

    @staticmethod
    def _limit(scope: Scope) -> int:
        settings: Settings = scope["app"].state.settings
        if scope["path"] == _SIGN_IN:
            return 1 << 16
        if _UPLOAD.fullmatch(scope["path"]):
            return settings.max_upload_bytes + _MULTIPART_OVERHEAD
        return settings.max_body_bytes

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> Response | None:
        if not self._knows_host(headers.get("host", "")):
            return problem_response(
                400,
                "Unknown host",
                "This server does not answer to the name in the Host header. The operator adds names with "
                "WINNOW_PUBLIC_HOSTS.",
                slug="unknown-host",
            )
        path = scope["path"]
        closed = path.startswith("/v1/") and not (path == _SIGN_IN and scope["method"] == "POST")
        if closed and headers.get("authorization", "")[:7].lower() != "bearer ":
            error = Unauthenticated()
            return problem_response(401, error.title, error.detail, slug=error.slug, headers=error.headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > limit:
            return problem_response(413, TooLarge.title, _too_large(limit), slug=TooLarge.slug)
        return None

    def _knows_host(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._hosts:
            return True
        if not self._any_address:
            return False
        # Bound to every address: a request by a bare address cannot come from a rebound name.
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _without_port(host: str) -> str:
    """The name in a Host header; empty for what is none."""
    found = _HOST.fullmatch(host)
    return (found["address"] or found["name"] or "") if found else ""


def _too_large(limit: int) -> str:
    return f"The body is over the limit of {limit:,} bytes. Send less at once."
