"""What surrounds every answer: a request id, security headers, the access log, and a plain face for our own bugs."""

from __future__ import annotations

import json
import logging
import re
import secrets
import time

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import unexpected
from winnow.db.base import utcnow

_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_STORE = (b"cache-control", b"no-store")
_HSTS = "max-age=31536000; includeSubDomains"
_access = logging.getLogger("winnow.access")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def access_log() -> structlog.stdlib.BoundLogger:
    """One JSON line for each event, through the standard logger ``winnow.access``."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        _access,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return logger


def log_to_stderr() -> None:
    """Have the access log written to standard error; without it only unexpected errors get there."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    _access.handlers = [handler]
    _access.setLevel(logging.INFO)
    _access.propagate = False


class Envelope:
    """The outermost middleware. ``strict_transport`` adds HSTS."""

    def __init__(self, app: ASGIApp, strict_transport: bool = False) -> None:
        self._app = app
        headers = {**_SECURITY_HEADERS, **({"Strict-Transport-Security": _HSTS} if strict_transport else {})}
        self._headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        self._log = access_log()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and seal what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = Headers(scope=scope).get("x-request-id", "")
        request_id = wanted if _ID.fullmatch(wanted) else secrets.token_hex(8)
        started = time.perf_counter()
        status = 0

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                ours = [*self._headers, _NO_STORE] if scope["path"].startswith("/v1") else self._headers
                given += [header for header in ours if header[0] not in names]
                message["headers"] = [*given, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except Exception:
            self._log.exception("unexpected", request_id=request_id, method=scope["method"], path=scope["path"])
            if status:
                raise  # too late for another answer: the server closes the connection
            await unexpected()(scope, receive, sealed)
        finally:
            client = scope.get("client")
            if _access.isEnabledFor(logging.INFO):
                line = {
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(1000 * (time.perf_counter() - started), 1),
                    "address": client[0] if client else None,
                    "event": "request",
                    "timestamp": utcnow().isoformat().replace("+00:00", "Z"),
                }
                # Written as structlog would, without its processors: this is on the way of every request.
                _access.info(json.dumps(line))
