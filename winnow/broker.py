"""The embedded broker: a table of messages, behind ``sqla+…`` broker URLs, in the place of kombu's own such transport.

It is polled ten times a second (kombu's: once): a look at the file's time, and a read without a write lock when
something was written, so that an idle worker stays idle. A message is deleted when it is taken (kombu's only hides it).
Connections live for one operation, and no process forks meanwhile. Messages are hints, which may be lost: no write
waits for the disk.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps, loads
from pathlib import Path
from queue import Empty
from typing import Any

import kombu.transport
from kombu.transport import virtual
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError

from winnow.forking import no_fork

POLLING_SECONDS = 0.1
#: A waiting worker looks up this often, so that it stops soon after it was told to.
WAIT_SECONDS = 0.5
BUSY_SECONDS = 30
#: File times are exact to a few milliseconds: two writes closer than this may look like one.
SETTLED_NS = 100_000_000

_metadata = MetaData()
_messages = Table(
    "messages",
    _metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("queue", String(200), nullable=False, index=True),
    Column("payload", Text, nullable=False),
    sqlite_autoincrement=True,
)
_engines: dict[tuple[int, str], Engine] = {}
_opening = threading.Lock()


def _do_not_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF")


def _engine(url: str) -> Engine:
    """The engine for ``url`` of this process, with its table."""
    key = (os.getpid(), url)
    with _opening:
        if key not in _engines:
            _engines[key] = _make_engine(url)
            _metadata.create_all(_engines[key])
        return _engines[key]


def _make_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    connect = {"check_same_thread": False, "timeout": BUSY_SECONDS}
    engine = create_engine(parsed, connect_args=connect, poolclass=NullPool)
    event.listen(engine, "connect", _do_not_sync)
    return engine


class Channel(virtual.Channel):
    """A channel that keeps no connection, and deletes what it delivers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._empty: dict[str, tuple[int, int] | None] = {}
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]

    @property
    def _url(self) -> str:
        return str(self.connection.client.hostname)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with no_fork(), _engine(self._url).begin() as connection:
            yield connection

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        with self._transaction() as connection:
            connection.execute(insert(_messages).values(queue=queue, payload=dumps(message)))

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        stamp = self._stamp()
        if stamp is not None and self._empty.get(queue) == stamp:
            raise Empty
        try:
            return self._take(queue)
        except Empty:
            self._empty[queue] = stamp
            raise

    def _stamp(self) -> tuple[int, int] | None:
        """What changes with each write to a SQLite file; None when it is too fresh to tell the next write from it."""
        try:
            stat = os.stat(make_url(self._url).database or "")  # noqa: PTH116
        except OSError:
            return None
        return None if time.time_ns() - stat.st_mtime_ns < SETTLED_NS else (stat.st_mtime_ns, stat.st_size)

    def _take(self, queue: str) -> Any:
        with self._transaction() as connection:
            oldest = connection.scalar(select(func.min(_messages.c.id)).where(_messages.c.queue == queue))
        if oldest is None:
            raise Empty
        with self._transaction() as connection:
            taken = delete(_messages).where(_messages.c.id == oldest).returning(_messages.c.payload)
            payload = connection.scalar(taken)
        if payload is None:  # another worker was faster
            raise Empty
        return loads(payload)

    def _purge(self, queue: str) -> int:
        with self._transaction() as connection:
            return connection.execute(delete(_messages).where(_messages.c.queue == queue)).rowcount

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self._purge(queue)

    def _size(self, queue: str) -> int:
        with self._transaction() as connection:
            counted = select(func.count()).select_from(_messages).where(_messages.c.queue == queue)
            return connection.scalar(counted) or 0


class Transport(virtual.Transport):
    """The transport of ``sqla+…`` broker URLs."""

    Channel = Channel
    can_parse_url = True
    default_port = 0  # type: ignore[assignment]
    driver_type = "sql"
    driver_name = "sqlalchemy"
    connection_errors = (OperationalError,)
    polling_interval = POLLING_SECONDS

    def drain_events(self, connection: Any, timeout: float | None = None, **kwargs: Any) -> Any:
        """Wait for a message, for at most ``WAIT_SECONDS``; raises ``TimeoutError`` when none came."""
        seconds = min(timeout or WAIT_SECONDS, WAIT_SECONDS)
        return super().drain_events(connection, timeout=seconds)  # type: ignore[no-untyped-call]

    def driver_version(self) -> str:
        """Which SQLAlchemy speaks to the database."""
        import sqlalchemy

        return sqlalchemy.__version__


kombu.transport.TRANSPORT_ALIASES["sqla"] = f"{__name__}:Transport"
