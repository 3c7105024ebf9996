"""One call over HTTP: who is calling, when to try again, how a refusal becomes an error, how bytes stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import httpx

from client.errors import ProblemError, Unreachable

OnProgress = Callable[[int, int | None], None]
"""Called with the bytes so far and the total, None where the server does not say."""

_TRIES = 4
_FIRST_PAUSE = 0.1
_BUSY = {502, 503, 504}
_NEVER_ARRIVED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CHUNK = 1 << 18


class Transport:
    """Sends requests to one service as one person.

    Args:
        base_url: where the service is, without ``/v1``.
        token: the bearer token, or None before sign-in.
        timeout: seconds to wait for each part of an answer.
        http: an httpx client to share (its connections); by default one of its own, closed by ``close``.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout: float = 30.0, http: httpx.Client | None = None
    ):
        self.base_url = base_url.rstrip("/")
        self.token = token
        self._owned = http is None
        self._http = http or httpx.Client(timeout=timeout, trust_env=False)

    def close(self) -> None:
        """Close the connections, unless they are shared."""
        if self._owned:
            self._http.close()

    def url(self, path: str) -> str:
        """The whole address of a path of the service; addresses of other servers are refused with ValueError."""
        if not path.startswith("/") or path.startswith("//"):
            raise ValueError(f"{path!r} is not a path of the service")
        return self.base_url + path

    def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, Any] | None = None,
        again: bool | None = None,
    ) -> Any:
        """Send a request and give the decoded JSON answer (None when there is none).

        ``again`` says whether it may be repeated after it may have arrived; by default only GET and DELETE are.
        A call that certainly never arrived is always repeated. Raises ProblemError and Unreachable.
        """
        may_repeat = method in {"GET", "DELETE"} if again is None else again
        if files is not None:
            tries, may_repeat = 1, False  # the file object has been read from: it cannot be sent twice
        else:
            tries = _TRIES
        for attempt in range(1, tries + 1):
            try:
                answer = self._http.request(
                    method,
                    self.url(path),
                    json=json,
                    params=_given(params),
                    data=data,
                    files=files,
                    headers=self._headers(),
                )
            except httpx.TransportError as error:
                if attempt < tries and (may_repeat or isinstance(error, _NEVER_ARRIVED)):
                    self._pause(attempt)
                    continue
                raise Unreachable(self.base_url, _reason(error)) from error
            if answer.status_code in _BUSY and may_repeat and attempt < tries:
                self._pause(attempt)
                continue
            return _decode(answer)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def stream(self, path: str, *, params: Mapping[str, Any] | None = None) -> Iterator[httpx.Response]:
        """GET a body without holding it: yields the open response. Raises as ``call`` does."""
        try:
            with self._http.stream(
                "GET", self.url(path), params=_given(params), headers=self._headers(), follow_redirects=False
            ) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    _decode(answer)
                yield answer
        except httpx.TransportError as error:
            raise Unreachable(self.base_url, _reason(error)) from error

    def download(
        self,
        path: str,
        out: BinaryIO,
        *,
        params: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> int:
        """Write a body to ``out`` piece by piece and give the number of bytes."""
        written = 0
        with self.stream(path, params=params) as answer:
            length = answer.headers.get("content-length")
            encoded = "content-encoding" in answer.headers
            total = int(length) if length is not None and not encoded else None
            for piece in answer.iter_bytes(_CHUNK):
                out.write(piece)
                written += len(piece)
                if on_progress is not None:
                    on_progress(written, total)
        return written

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    @staticmethod
    def _pause(attempt: int) -> None:
        time.sleep(_FIRST_PAUSE * 3 ** (attempt - 1))


def _given(params: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Only the parameters that are set, as the service reads them."""
    if params is None:
        return None
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in params.items()
        if value is not None
    }


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _decode(answer: httpx.Response) -> Any:
    if answer.status_code < 300:
        return answer.json() if answer.content else None
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    retry_after = answer.headers.get("retry-after", "")
    raise ProblemError(
        answer.status_code,
        str(problem.get("title") or answer.reason_phrase or "Error"),
        str(problem.get("detail") or ""),
        errors=problem.get("errors") or (),
        type=str(problem.get("type") or "about:blank"),
        retry_after=float(retry_after) if retry_after.isdigit() else None,
    )
