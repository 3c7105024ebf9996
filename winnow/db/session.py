"""Engines, and the two ways to talk to the database: ``read`` and ``write``.

A write on SQLite begins with ``BEGIN IMMEDIATE``, so what it reads cannot change before it commits, and it syncs to
disk (WAL, ``synchronous=FULL``). On PostgreSQL the same guarantee is a lock for each project: :func:`lock_project`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, event, text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.orm import Session

_WRITE = "winnow_write"
_HOOKS = "after_commit_hooks"
_CONNECTION = "write_connection"
BUSY_TIMEOUT_MS = 30_000


def make_engine(url: str, *, pool_size: int = 16) -> Engine:
    """An engine for ``url`` with this project's pragmas; makes the folder of a SQLite file.

    With a ``pool_size`` of 0, connections are closed after each use.
    """
    parsed = make_url(url)
    # Errors get logged, and what people wrote does not belong there: hide_parameters.
    pool: dict[str, Any] = {"pool_size": pool_size, "max_overflow": pool_size} if pool_size else {"poolclass": NullPool}
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True, hide_parameters=True, **pool)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        parsed,
        hide_parameters=True,
        **pool,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000, "isolation_level": None},
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


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
    """

    def __init__(self, url: str, *, pool_size: int = 16) -> None:
        self.url = url
        self.send_hint: Callable[[str, int], None] | None = None
        self.engine = make_engine(url, pool_size=pool_size)
        self._writer = self.engine.execution_options(**{_WRITE: True})
        # SQLite lets those who wait for its write lock sleep and look again: with many threads that makes them slow. So
        # they queue here first. Reentrant, so that a write within a write is refused by SQLite instead of hanging.
        sqlite = self.engine.dialect.name == "sqlite"
        self._turn: AbstractContextManager[Any] = threading.RLock() if sqlite else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one snapshot and writes nothing."""
        with Session(self.engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end, or rolls back if anything is raised, then runs its hooks."""
        with self._turn, Session(self._writer, expire_on_commit=False) as session:
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
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:project)"), {"project": project_id})
