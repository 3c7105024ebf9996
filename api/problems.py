"""Errors as RFC 9457 problems: the one place where an exception becomes HTTP."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from winnow.db.outage import outage_of
from winnow.errors import FieldError, NotFound, TooLarge, Unavailable, WinnowError

MEDIA_TYPE = "application/problem+json"
_TYPES = "urn:winnow:problem:"
#: A database that was restarted is back within a few seconds.
RETRY_SECONDS = "1"
_AWAY = (
    "The database does not answer just now. Send the request again after Retry-After seconds; labels that bear a "
    "request_id are written once, however often they are sent."
)
_log = logging.getLogger("winnow.database")


def problem_response(
    status: int,
    title: str,
    detail: str,
    *,
    slug: str | None = None,
    errors: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A response with ``type``, ``title``, ``status``, ``detail`` and, where a field is at fault, ``errors``."""
    body: dict[str, Any] = {
        "type": f"{_TYPES}{slug}" if slug else "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    found = [{"loc": list(error.loc), "msg": error.msg} for error in errors]
    if found:
        body["errors"] = found
    content = json.dumps(body, ensure_ascii=True)  # ASCII: a detail may quote a lone surrogate
    return Response(content, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def unexpected() -> Response:
    """What a bug of ours looks like from outside: nothing of its insides."""
    return problem_response(
        500,
        "Something went wrong",
        "This is a fault of the server, not of the request. It has been logged under the id in X-Request-Id.",
        slug="internal",
    )


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error that a route or the router raises with a problem."""
    app.add_exception_handler(WinnowError, _winnow_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(DBAPIError, _database_error)
    app.add_exception_handler(PoolTimeout, _database_error)
    app.add_exception_handler(NoResultFound, _gone)


async def _winnow_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, WinnowError)  # noqa: S101 — registered for nothing else
    return problem_response(
        error.status, error.title, error.detail, slug=error.slug, errors=error.errors, headers=error.headers
    )


async def _database_error(_request: Request, error: Exception) -> Response:
    """503 while the database is away or overloaded; what else it says is a fault of ours."""
    outage = outage_of(error)
    if outage is None:
        raise error
    _log.warning("database %s: %s", outage, str(error).partition("\n")[0])
    return problem_response(
        Unavailable.status, Unavailable.title, _AWAY, slug=Unavailable.slug, headers={"Retry-After": RETRY_SECONDS}
    )


async def _gone(request: Request, error: Exception) -> Response:
    """404 for what was there when the caller was looked at, and purged before their turn came."""
    _log.warning("gone meanwhile: %s", request.scope["path"], exc_info=error)
    return await _winnow_error(request, NotFound("This was deleted while you asked for it."))


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 — registered for nothing else
    found = [FieldError(tuple(entry["loc"]), str(entry["msg"])) for entry in error.errors()[:100]]
    first = found[0]
    where = ".".join(str(part) for part in first.loc)
    return problem_response(422, "Invalid input", f"{where}: {first.msg}", slug="invalid", errors=found)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 — registered for nothing else
    if error.status_code == 400:  # the framework's word for a body that no parser can read
        return _unreadable(error.detail)
    title = TooLarge.title if error.status_code == 413 else HTTPStatus(error.status_code).phrase
    details = {404: "There is nothing at this address.", 405: "This address does not answer this method; see Allow."}
    detail = details.get(error.status_code) if error.detail in ("", title) else error.detail
    slug = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}.get(error.status_code, "bad-request")
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        headers["Allow"] = ", ".join(methods)
    return problem_response(error.status_code, title, detail or title, slug=slug, headers=headers)


def _methods_at(request: Request) -> list[str]:
    """What the address of a request answers: the router names the methods of the first route there only."""
    found: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), request.scope["path"]):
            found |= {method.upper() for method in operations}
    return sorted(found)


def _unreadable(reason: str) -> Response:
    message = f"cannot be read: {reason}"
    return problem_response(
        422, "Invalid input", f"The body {message}", slug="invalid", errors=[FieldError(("body",), message)]
    )
