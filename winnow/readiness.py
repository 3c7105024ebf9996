"""Whether the parts that the service needs are there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Lock

import structlog
from sqlalchemy import select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import Session

from winnow.broker_connection import introduction
from winnow.db.clock import database_time
from winnow.db.tables import WorkerSeen

log = structlog.get_logger(__name__)

_POSTGRESQL_PORT = 5432


def worker_seen(session: Session, within: timedelta) -> bool:
    """Whether any worker said lately that it lives."""
    since = database_time(session) - within
    return session.scalar(select(WorkerSeen.name).where(WorkerSeen.seen_at > since).limit(1)) is not None


def broker_check(url: str, *, seconds: float = 2.0, patience: float = 1.0) -> Callable[[], bool]:
    """A check whether one can sign in to the broker within ``patience`` seconds, remembered for ``seconds``.

    The embedded broker is a file, which its first user makes; its folder has to be there.
    """
    state: tuple[float, bool] = (float("-inf"), False)
    lock = Lock()

    def check() -> bool:
        nonlocal state
        with lock:
            if time.monotonic() - state[0] > seconds:
                answers = _answers(url, patience)
                state = (time.monotonic(), answers)
            return state[1]

    return check


def storage_check(check: Callable[[], object], *, seconds: float = 5.0, patience: float = 2.0) -> Callable[[], bool]:
    """A check whether the storage answers ``check`` within ``patience`` seconds, remembered for ``seconds``.

    It asks from a thread of its own, one question at a time: a server that accepts connections and says nothing must
    not keep a probe waiting.
    """
    asker = ThreadPoolExecutor(1, thread_name_prefix="winnow-storage")
    state: tuple[float, Future[object] | None] = (float("-inf"), None)
    lock = Lock()

    def ask() -> bool:
        nonlocal state
        with lock:
            asked_at, answer = state
            if answer is None or (answer.done() and time.monotonic() - asked_at > seconds):
                state = (time.monotonic(), answer := asker.submit(check))
        try:
            answer.result(patience)
        except Exception:
            return False
        return True

    return ask


def _answers(url: str, patience: float) -> bool:
    scheme, _, rest = url.partition("+")
    if scheme in ("sqla", "sqlalchemy"):
        return _file_or_port(rest, patience)
    try:
        introduction(url, patience=patience)
    except Exception as error:  # what the transports raise has nothing in common
        log.debug("broker.no_answer", error=str(error))
        return False
    return True


def _file_or_port(url: str, patience: float) -> bool:
    """A table of messages: in a SQLite file, whose folder must be there, or on a server, which must listen."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return parsed.database is not None and Path(parsed.database).parent.is_dir()
        with socket.create_connection((parsed.host or "localhost", parsed.port or _POSTGRESQL_PORT), patience):
            return True
    except (OSError, ValueError, ArgumentError):
        return False
