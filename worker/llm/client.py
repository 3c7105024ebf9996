"""Chat completions over HTTP: bounded, retried, and silent about keys."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import httpx

from winnow.llm_endpoints import LlmEndpoint

MOST_BYTES = 1 << 20
"""Largest answer that is read; a chat completion of some tokens with their alternatives takes tens of kilobytes."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds between two tries: doubled each time, drawn from half of it upwards."""
LONGEST_RETRY_AFTER = 60.0
"""A server that asks for a longer wait is not asked again in this round."""

_LATER = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))
_KEY = re.compile(r"[\x21-\x7e]{1,1000}")
_CODE = re.compile(r"[a-z][a-z0-9_]{0,59}")
_HOPELESS = frozenset(("insufficient_quota", "billing_hard_limit_reached"))
_HINTS = {
    400: "the server does not take what is asked; see which options of the endpoint it knows (docs/llm.md)",
    401: "the key was refused: look at the variable that api_key_env names",
    403: "the key has no right to this model",
    404: "there is no such model or address: look at url and model",
    413: "the question is too long: lower max_text_chars or examples",
    422: "the server does not take what is asked; see which options of the endpoint it knows (docs/llm.md)",
}


@dataclass(frozen=True)
class Answer:
    """A JSON answer, and how many tries before it may have been charged although no answer came."""

    payload: Any
    unanswered: int = 0


class CallFailed(Exception):
    """No answer to one question. ``unanswered`` tries may have been charged; ``for_good``: others will fail as well."""

    def __init__(self, reason: str, *, unanswered: int = 0, for_good: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.unanswered = unanswered
        self.for_good = for_good


class _Again(Exception):
    """Worth another try, after ``pause`` seconds where the server says so."""

    def __init__(self, reason: str, *, charged: bool, pause: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.charged = charged
        self.pause = pause


class ChatClient:
    """Asks one registered endpoint; entered once for a round. Raises CallFailed where there is no key to ask with.

    Redirects are not followed and proxies of the environment are not used: what is sent goes to the registered address
    and nowhere else. Keys are in no error and no log, nor is what the server says of them.
    """

    def __init__(self, endpoint: LlmEndpoint, rng: random.Random) -> None:
        self._endpoint = endpoint
        self._rng = rng
        self._key = key = endpoint.key()
        if endpoint.api_key_env is not None and (key is None or not _KEY.fullmatch(key)):
            what = "is not set where the worker runs" if key is None else "holds what cannot be a key"
            raise CallFailed(f"the variable {endpoint.api_key_env} {what}", for_good=True)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "winnow"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=endpoint.timeout,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=endpoint.concurrency),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def complete(self, body: Mapping[str, Any], idempotency_key: str) -> Answer:
        """The server's answer to one request, tried as often as the endpoint says.

        Raises:
            CallFailed: There was none; the reason says what to do, without key or text.
        """
        unanswered, pause = 0, FIRST_PAUSE
        for tries_left in range(self._endpoint.retries, -1, -1):
            try:
                return Answer(await self._once(body, idempotency_key), unanswered)
            except _Again as again:
                unanswered += again.charged
                if tries_left == 0:
                    raise CallFailed(again.reason, unanswered=unanswered) from None
                if again.pause is not None and again.pause > LONGEST_RETRY_AFTER:
                    reason = f"{again.reason}; it asks to wait for {again.pause:.0f} s"
                    raise CallFailed(reason, unanswered=unanswered, for_good=True) from None
                await asyncio.sleep(max(again.pause or 0.0, pause * self._rng.uniform(0.5, 1.0)))
                pause = min(2 * pause, LONGEST_PAUSE)
            except CallFailed as failed:
                raise CallFailed(
                    failed.reason, unanswered=unanswered + failed.unanswered, for_good=failed.for_good
                ) from None
        raise AssertionError("there is a last try")

    async def _once(self, body: Mapping[str, Any], idempotency_key: str) -> Any:
        url = f"{self._endpoint.url}/chat/completions"
        try:
            async with (
                asyncio.timeout(self._endpoint.timeout),
                self._http.stream("POST", url, json=body, headers={"Idempotency-Key": idempotency_key}) as response,
            ):
                status, headers, content = response.status_code, response.headers, await _read(response)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise _Again(f"{self._endpoint.host} cannot be reached", charged=False) from None
        except (TimeoutError, httpx.TimeoutException):
            said = f"{self._endpoint.host} did not answer within {self._endpoint.timeout:g} s"
            raise _Again(said, charged=True) from None
        except (httpx.TransportError, httpx.InvalidURL) as error:
            said = f"the connection to {self._endpoint.host} broke off ({type(error).__name__})"
            raise _Again(said, charged=True) from None
        return self._read_status(status, headers, content)

    def _read_status(self, status: int, headers: httpx.Headers, content: bytes) -> Any:
        host = self._endpoint.host
        if 200 <= status < 300:
            try:
                return json.loads(content)
            except (ValueError, RecursionError):
                raise CallFailed(f"{host} answered with what is no JSON", unanswered=1) from None
        if 300 <= status < 400:
            raise CallFailed(f"{host} points elsewhere, which is not followed: register that address", for_good=True)
        code = _error_code(content)
        if code is not None and self._key is not None and self._key in code:
            code = None
        said = f"{host} answered {status}{f' ({code})' if code else ''}"
        if status in _LATER and code not in _HOPELESS:
            raise _Again(said, charged=False, pause=_retry_after(headers.get("Retry-After")))
        hint = _HINTS.get(status)
        raise CallFailed(f"{said}: {hint}" if hint else said, for_good=True)


async def _read(response: httpx.Response) -> bytes:
    """The body, as far as it is of a size and an encoding that are expected."""
    if response.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise CallFailed("the server compresses its answers although it was asked not to", unanswered=1, for_good=True)
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MOST_BYTES:
            raise CallFailed(f"the server's answer is longer than {MOST_BYTES >> 20} MiB", unanswered=1)
    return bytes(content)


def _error_code(content: bytes) -> str | None:
    """The short code of an error, where the server gives one of the usual form: its sentences may repeat the key."""
    try:
        error = json.loads(content).get("error")
        code = error.get("code") or error.get("type")
    except (ValueError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number, or a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value)) if float(value) < float("inf") else LONGEST_RETRY_AFTER + 1
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
