"""What the service has said to everybody: the promises that it is held to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

#: A part that has not come back by then never will.
PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.02
#: Leases do not run out while a part is away: then an item with two people's labels is always a fault.
LEASE_SECONDS = 600


class NeverAnswered(Exception):
    """The service did not answer for two minutes."""


@dataclass(frozen=True)
class Held:
    """An item that was handed to a person, from ``since`` on, by the service's clock."""

    item: int
    person: int
    since: datetime


@dataclass(frozen=True)
class Given:
    """A label or skip that was acknowledged."""

    label: int
    item: int
    person: int
    request: str


@dataclass
class Record:
    """Everything that was promised, and everything that went wrong on the way. For any thread."""

    held: list[Held] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)
    jobs: dict[int, str] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    imported: dict[int, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unavailable: int = 0
    refused: int = 0
    on_the_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, text: str) -> None:
        """Note something that must not happen."""
        with self._lock:
            self.faults.append(text)

    def hold(self, person: int, items: list[dict[str, Any]]) -> None:
        """Note items as a batch or the list of leases gives them."""
        with self._lock:
            for item in items:
                expires = datetime.fromisoformat(item["lease"]["expires_at"])
                self.held.append(Held(int(item["id"]), person, expires - timedelta(seconds=LEASE_SECONDS)))

    def acknowledge(self, given: list[Given]) -> None:
        """Note what was accepted."""
        with self._lock:
            self.given.extend(given)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Labels are on their way to the service, or their answer is on its way back."""
        with self._lock:
            self.on_the_way += 1
        try:
            yield
        finally:
            with self._lock:
                self.on_the_way -= 1

    def ask(self, call: Callable[[], httpx.Response], *, over: threading.Event | None = None) -> httpx.Response | None:
        """Ask until there is an answer, as a page or a careful program does; None when it is ``over``.

        Raises:
            NeverAnswered: there was none for two minutes.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if over is not None and over.is_set():
                return None
            with suppress(httpx.TransportError):
                answer = call()
                if answer.status_code < 500:
                    return answer
                self._note(answer)
            time.sleep(_POLL_SECONDS)
        self.fault("a request was not answered for two minutes")
        raise NeverAnswered

    def _note(self, answer: httpx.Response) -> None:
        with self._lock:
            self.unavailable += 1
        kind = answer.headers.get("content-type", "")
        if answer.status_code != 503 or "retry-after" not in answer.headers or kind != "application/problem+json":
            self.fault(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:200]}")
