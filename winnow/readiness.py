"""Whether the parts that the service needs are there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.tables import WorkerSeen

_PORTS = {"redis": 6379, "rediss": 6379, "amqp": 5672, "amqps": 5671, "pyamqp": 5672, "postgresql": 5432}


def worker_seen(session: Session, within: timedelta) -> bool:
    """Whether any worker said lately that it lives."""
    return session.scalar(select(WorkerSeen.name).where(WorkerSeen.seen_at > utcnow() - within).limit(1)) is not None


def broker_check(url: str, *, seconds: float = 2.0) -> Callable[[], bool]:
    """A check whether something listens at the broker's address, remembered for ``seconds``.

    It opens a connection and speaks no protocol: a probe must not need the broker's client library. The embedded
    broker is a file, which its first user makes; its folder has to be there.
    """
    state: tuple[float, bool] = (float("-inf"), False)
    lock = Lock()

    def check() -> bool:
        nonlocal state
        with lock:
            if time.monotonic() - state[0] > seconds:
                state = (time.monotonic(), _answers(url))
            return state[1]

    return check


def _answers(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    if scheme.startswith(("sqla+", "sqlalchemy+")):
        url = url.partition("+")[2]
        scheme = url.partition("://")[0]
    if scheme.startswith("sqlite"):
        file = make_url(url).database
        return file is not None and Path(file).parent.is_dir()
    if scheme in ("memory", "filesystem"):
        return True
    parts = urlsplit(f"//{rest}" if rest else url)
    try:
        address = (parts.hostname or "localhost", parts.port or _PORTS.get(scheme.partition("+")[0], 5672))
        with socket.create_connection(address, timeout=1):
            return True
    except (OSError, ValueError):
        return False
