"""Engines, and the two ways to talk to the database: ``read`` and ``write``.

A write on SQLite begins with ``BEGIN IMMEDIATE``, so what it reads cannot change before it commits, and it syncs to
disk (WAL, ``synchronous=FULL``). On PostgreSQL the same guarantee is a lock for each project: :func:`lock_project`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from winnow.db.server import note_origin
from winnow.forking import no_fork

_WRITE = "winnow_write"
_HOOKS = "after_commit_hooks"
_CONNECTION = "write_connection"
_LOCKED = "locked_projects"
_LOCK = text("SELECT pg_advisory_xact_lock(:project)")
BUSY_TIMEOUT_MS = 30_000
#: What no connection to PostgreSQL does without, unless its URL says otherwise: whoever waits for a server that is gone
#: (seconds), a lock, a statement or a transaction that its process forgot (milliseconds) gets an error in the end.
_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "options": f"-c lock_timeout={BUSY_TIMEOUT_MS} -c statement_timeout=60000 "
    "-c idle_in_transaction_session_timeout=60000",
}
_POOL_SECONDS = 10
_RESTED_SECONDS = 1.0
_USED_AT = "winnow_used_at"


def make_engine(url: str, *, pool_size: int = 16) -> Engine:
    """An engine for ``url`` with this project's pragmas; makes the folder of a SQLite file.

    With a ``pool_size`` of 0, connections are closed after each use.
    """
    parsed = make_url(url)
    if parsed.drivername in ("postgresql", "postgres"):  # as everybody else writes it
        parsed = parsed.set(drivername="postgresql+psycopg")
    # Errors get logged, and what people wrote does not belong there: hide_parameters.
    pool: dict[str, Any] = {"poolclass": NullPool}
    if pool_size:
        pool = {"pool_size": pool_size, "max_overflow": pool_size, "pool_timeout": _POOL_SECONDS}
    if parsed.get_backend_name() != "sqlite":
        connect = {name: value for name, value in _CONNECT.items() if name not in parsed.query}
        # Not what the server has as its default: whoever waited for a lock must see what was committed meanwhile.
        level = "READ COMMITTED"
        engine = create_engine(parsed, hide_parameters=True, isolation_level=level, connect_args=connect, **pool)
        event.listen(engine, "handle_error", note_origin)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _ask_the_rested)
        return engine
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        hide_parameters=True,
        **pool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None},
    )
    event.listen(engine, "handle_error", note_origin)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _note_use(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info[_USED_AT] = time.monotonic()


def _ask_the_rested(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Whether it is still there, asked of a connection that rested: of each one would cost every label two trips.

    One that was lost within the last moment fails its statement, which is an outage as any other, and ends the rest.
    """
    used_at = record.info.get(_USED_AT)
    if used_at is None or time.monotonic() - used_at < _RESTED_SECONDS:
        return
    try:
        connection.autocommit = True
        connection.execute("")
        connection.autocommit = False
    except Exception as error:  # whatever it is, this connection is of no use, and the others are as old
        raise InvalidatePoolError from error


def _set_pragmas(connection: Any, _record: Any) -> None:
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-16000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get(_WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


class Database:
    """A database and its sessions. The edge (a request, a task, a command) opens one and commits once.

    ``send_hint(kind, job_id)`` tells the workers of a new job, after the commit; without it the reaper finds the job.
    A process that ``forks`` does not do so while it has a session open, and should keep no connections
    (``pool_size=0``); see :mod:`winnow.forking`.
    """

    def __init__(self, url: str, *, pool_size: int = 16, forks: bool = False) -> None:
        self.url = url
        self.send_hint: Callable[[str, int], None] | None = None
        self.engine = make_engine(url, pool_size=pool_size)
        self._writer = self.engine.execution_options(**{_WRITE: True})
        sqlite = self.engine.dialect.name == "sqlite"
        # One snapshot for all statements of a read, which every read on SQLite has.
        self._reader = self.engine if sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        # SQLite lets those who wait for its write lock sleep and look again: with many threads that makes them slow. So
        # they queue here first. Reentrant, so that a write within a write is refused by SQLite instead of hanging.
        self._turn: AbstractContextManager[Any] = threading.RLock() if sqlite else nullcontext()
        self._gate: Callable[[], AbstractContextManager[None]] = no_fork if forks else nullcontext

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one snapshot and writes nothing."""
        with self._gate(), Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back if anything is raised, then runs its hooks."""
        with self._gate(), self._turn, Session(self._writer, expire_on_commit=False) as session:
            session.info["send_hint"] = self.send_hint
            session.info[_CONNECTION] = session.connection()  # takes the write lock now, before anything is read
            yield session
            session.commit()
            del session.info[_CONNECTION]
            hooks: list[Callable[[], None]] = session.info.pop(_HOOKS, [])
        for hook in hooks:
            hook()

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def connection_of(session: Session) -> Connection:
    """The connection of ``session``, for statements that need nothing else of it; does not flush what it holds back.

    Asking the session itself costs as much as a small statement.
    """
    connection: Connection | None = session.info.get(_CONNECTION)
    return session.connection() if connection is None else connection


def after_commit(session: Session, hook: Callable[[], None]) -> None:
    """Run ``hook`` once the session's transaction is durable; not at all if it rolls back."""
    session.info.setdefault(_HOOKS, []).append(hook)


def lock_project(session: Session, project_id: int) -> None:
    """Serialise claims, label writes and queue swaps of one project until the transaction ends.

    On SQLite the write transaction already holds the only write lock.
    """
    connection = connection_of(session)
    if connection.dialect.name != "postgresql":
        return
    held = (session.get_transaction(), project_id)
    if session.info.get(_LOCKED) != held:  # a round trip saved, twice a label
        connection.execute(_LOCK, {"project": project_id})
        session.info[_LOCKED] = held if not session.in_nested_transaction() else None
