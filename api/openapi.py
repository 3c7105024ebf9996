"""The OpenAPI document: what FastAPI generates, with problems as the errors of every call."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.problems import MEDIA_TYPE

_PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong, and what to do (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {
                    "loc": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "msg": {"type": "string"},
                },
            },
        },
    },
}
_METHODS = ("get", "post", "put", "patch", "delete")
_ALWAYS = {"400": "The request cannot be read."}
_SIGNED_IN = {"401": "No token, or one that is not valid any more.", "403": "The caller lacks the right."}
_WITH_PATH = {"404": "There is none, or none that the caller may know of."}
_WRITES = {"409": "Not in the state that things are in.", "413": "Too large."}
_WITH_INPUT = {"422": "Invalid input; `errors` names the fields."}
#: Nearly all of /v1 asks the database first: who is calling?
_V1 = {"503": "The database does not answer. Send the request again after `Retry-After` seconds."}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}


def document(app: FastAPI) -> None:
    """Have ``app`` serve this document at ``/openapi.json``."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            )
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    schemas = schema.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in schema["paths"].items():
        for method in _METHODS:
            if method in operations:
                _add(path, method, operations[method])
    return schema


def _add(path: str, method: str, operation: dict[str, Any]) -> None:
    wanted = dict(_ALWAYS)
    if path.startswith("/v1/"):
        wanted |= _V1
    if operation.get("security"):
        wanted |= _SIGNED_IN
    if "{" in path:
        wanted |= _WITH_PATH
    if method != "get":
        wanted |= _WRITES
    if operation.get("parameters") or operation.get("requestBody"):
        wanted |= _WITH_INPUT
    responses = operation.setdefault("responses", {})
    generated = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if generated.get("$ref", "").endswith("HTTPValidationError"):
        del responses["422"]
    for status, description in wanted.items():
        response = responses.setdefault(status, {"description": description})
        if status in _V1:
            response["headers"] = _RETRY_AFTER
    for status, response in responses.items():
        if status.startswith(("4", "5")) and "content" not in response:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
