"""Signing in and out, and the one-time entry: the routes that set and clear the session cookie."""

from __future__ import annotations

import contextlib
import hashlib
import html
import json
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ui.proxy import problem, session_token
from ui.settings import UiSettings

_MAX_FORM = 1 << 16
_ENTRY_SECONDS = 600.0
_DEFAULT_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Entry:
    """What a one-time code stands for: a session token and the page to go on to."""

    token: str
    target: str
    expires_in: int


def make_routes(settings: UiSettings, http: httpx.AsyncClient) -> list[Route]:
    """The routes ``/auth/sign-in``, ``/auth/sign-out`` and ``/enter``."""
    doors = _Doors(settings, http)
    return [
        Route("/auth/sign-in", doors.sign_in, methods=["POST"]),
        Route("/auth/sign-out", doors.sign_out, methods=["POST"]),
        Route("/enter", doors.enter, methods=["GET"]),
    ]


@dataclass(frozen=True)
class _Doors:
    """The pages' settings, and what reaches the API."""

    settings: UiSettings
    http: httpx.AsyncClient

    async def sign_in(self, request: Request) -> Response:
        """Trade e-mail and password for the session cookie. The token itself never reaches the page."""
        if int(request.headers.get("content-length") or _MAX_FORM + 1) > _MAX_FORM:
            return problem(413, "Too large", "Send an e-mail address and a password.")
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return problem(415, "Unsupported media type", "Send JSON.")
        headers = {"content-type": "application/json"}
        if request.client is not None:
            headers["x-forwarded-for"] = request.client.host
        try:
            answer = await self.http.post(
                f"{self.settings.api_url}/v1/auth/token", content=await request.body(), headers=headers
            )
        except httpx.TransportError:
            return problem(
                502, "The API does not answer", "The server is starting or has stopped. Try again in a moment."
            )
        if answer.status_code != 200:
            kept = {name: answer.headers[name] for name in ("retry-after",) if name in answer.headers}
            media = answer.headers.get("content-type", "application/problem+json")
            return Response(answer.content, answer.status_code, headers=kept, media_type=media)
        token = answer.json()
        response = JSONResponse({"signed_in": True})
        _set_cookie(request, response, self.settings, token["access_token"], int(token.get("expires_in") or 0))
        return response

    async def sign_out(self, request: Request) -> Response:
        """Clear the cookie and end the session at the API."""
        token = session_token(request.headers, self.settings.cookie)
        if token:
            with contextlib.suppress(httpx.TransportError):
                await self.http.delete(
                    f"{self.settings.api_url}/v1/auth/token", headers={"authorization": f"Bearer {token}"}
                )
        response = JSONResponse({"signed_in": False})
        response.delete_cookie(
            self.settings.cookie, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return response

    async def enter(self, request: Request) -> Response:
        """Redeem a one-time code. The page goes on by itself: a redirect would be followed without the new cookie."""
        entry = redeem(self.settings.entry_dir, request.query_params.get("code", ""))
        if entry is None:
            return HTMLResponse(_page("This link has been used or has run out.", "/", "Sign in"), 410)
        response = HTMLResponse(_page("One moment …", entry.target, "Go on", go_on=True))
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        _set_cookie(request, response, self.settings, entry.token, entry.expires_in)
        return response


def redeem(folder: Path | None, code: str) -> Entry | None:
    """Take a one-time entry out of the folder; None when there is none, or it is older than ten minutes.

    The file is named by the SHA-256 of its code, so reading the folder's names reveals no code; renaming it first makes
    sure that of two who come with the same code only one gets in.
    """
    if folder is None or not 16 <= len(code) <= 256:
        return None
    name = hashlib.sha256(code.encode()).hexdigest()
    taken = folder / f".{name}.{secrets.token_hex(8)}"
    try:
        (folder / name).replace(taken)
    except OSError:
        return None
    try:
        age = time.time() - taken.stat().st_mtime
        data = json.loads(taken.read_text(encoding="utf-8"))
        token, target = str(data["token"]), str(data.get("target") or "/")
        expires_in = int(data.get("expires_in") or _DEFAULT_SECONDS)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    finally:
        taken.unlink(missing_ok=True)
    if age > _ENTRY_SECONDS:
        return None
    return Entry(token, target if is_local(target) else "/", expires_in)


def is_local(target: str) -> bool:
    """Whether an address is a path on our own site and cannot be read as another one."""
    return re.fullmatch(r"/(?!/)[A-Za-z0-9_\-./?=&%~]*", target) is not None


def _set_cookie(request: Request, response: Response, settings: UiSettings, token: str, seconds: int) -> None:
    response.set_cookie(
        settings.cookie,
        token,
        max_age=seconds or _DEFAULT_SECONDS,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _page(text: str, target: str, link: str, *, go_on: bool = False) -> str:
    address = html.escape(target, quote=True)
    refresh = f'<meta http-equiv="refresh" content="0;url={address}">' if go_on else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}<title>Winnow</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:16px sans-serif;margin:20vh auto;'
        "max-width:30em;padding:0 1em;text-align:center;color-scheme:light dark}</style></head>"
        f'<body><p>{html.escape(text)}</p><p><a href="{address}">{html.escape(link)}</a></p></body></html>'
    )
