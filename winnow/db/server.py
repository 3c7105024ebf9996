"""What a database server must be, and what it means for the operator when it refuses.

For commands and for the start of the service: there, a database that does not work is the operator's to mend, in one
line that never holds a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL, Connection, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from winnow.errors import Unavailable

#: The oldest PostgreSQL that still gets security fixes and has all that is used.
OLDEST_POSTGRESQL = 14


class DatabaseRefused(Unavailable):
    """The database cannot be used as it is; ``detail`` says why and what to do.

    It is ``lasting`` where waiting will not help: somebody has to correct a setting, or do something to the server.
    """

    slug = "database-refused"
    title = "The database cannot be used"

    def __init__(self, detail: str, *, lasting: bool = True):
        super().__init__(detail)
        self.lasting = lasting


def shown(url: str) -> str:
    """The URL without its password, for messages.

    >>> shown("postgresql+psycopg://ann:secret@db/winnow?sslmode=require")
    'postgresql+psycopg://ann:***@db/winnow'
    """
    try:
        return make_url(url).set(query={}).render_as_string(hide_password=True)
    except ArgumentError:
        return "the database URL"


def check_server(connection: Connection) -> None:
    """Refuse a PostgreSQL that is too old, or whose database does not hold every character.

    Raises:
        DatabaseRefused: it is one of these.
    """
    if connection.dialect.name != "postgresql":
        return
    version = connection.dialect.server_version_info or (0,)
    if version < (OLDEST_POSTGRESQL,):
        number = ".".join(str(part) for part in version)
        raise DatabaseRefused(
            f"The server at {_place(connection.engine.url)} is PostgreSQL {number}; {OLDEST_POSTGRESQL} or newer is "
            "needed: upgrade it, or use another server."
        )
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        name = connection.engine.url.database
        raise DatabaseRefused(
            f"The database {name!r} is encoded in {encoding}, which does not hold every character: make one with "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and use that."
        )


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what the database or its driver refuses into :class:`DatabaseRefused`.

    Where another database is used within the block, its errors are told of that one.
    """
    try:
        scheme = make_url(url).drivername
        if scheme not in _SCHEMES:
            raise DatabaseRefused(f"There is no database driver for {scheme!r}: {_FORMS}.")
        yield
    except ArgumentError:
        raise DatabaseRefused(f"The database URL cannot be read: {_FORMS}.") from None
    except DBAPIError as error:
        line = _explanation(getattr(error.orig, _ORIGIN, None) or make_url(url), error)
        if line is None:
            raise
        raise DatabaseRefused(line, lasting=not _PASSES.search(line)) from error


def note_origin(context: ExceptionContext) -> None:
    """Write on a driver's error which database it is of (a listener of engines): the error itself does not say."""
    if context.engine is not None:
        setattr(context.original_exception, _ORIGIN, context.engine.url)


_ORIGIN = "winnow_database"
_SCHEMES = ("sqlite", "sqlite+pysqlite", "postgresql", "postgres", "postgresql+psycopg")
_FORMS = "use sqlite:////FOLDER/FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


#: How a line ends that asks for patience, or begins where a server may still come up.
_PASSES = re.compile(r"\bretry\b|^No server answers|^The host |cannot be used \(")


def _place(url: URL) -> str:
    return f"{url.host or 'localhost'}:{url.port or 5432}"


def _explanation(url: URL, error: DBAPIError) -> str | None:
    """A line for what is the operator's to mend; None for what is a bug of ours."""
    if url.get_backend_name() == "sqlite":
        return _about_sqlite(url, str(error.orig))
    state = getattr(error.orig, "sqlstate", None)
    if not state:
        return _about_connecting(url, str(error.orig))
    return _about_state(url, state, next(iter(str(error.orig).splitlines()), ""))


def _about_sqlite(url: URL, said: str) -> str | None:
    file = url.database
    if "locked" in said or "busy" in said:
        return f"Another process has been writing to {file} all the while: wait until it has finished, then retry."
    if "not a database" in said or "malformed" in said:
        return f"{file} is not a SQLite database, or it is damaged: give another file, or restore a backup."
    if "unable to open" in said or "readonly" in said:
        return f"{file} cannot be opened for writing ({said}): check the path and its permissions."
    if "full" in said:
        return f"The disk that holds {file} is full: make room, then retry."
    if "already exists" in said:
        return f"{file} holds tables of another program ({said}): give another file."
    return None


def _about_state(url: URL, state: str, said: str) -> str | None:
    name = url.database
    if state == "55P03":
        return (
            f"Somebody else holds a lock on tables of the database {name!r} for too long, so nothing was changed: stop "
            "the other servers and workers, or wait until they have finished, then retry."
        )
    if state == "57014":
        return f"A statement on the database {name!r} took too long and was ended; nothing was changed: retry."
    if state == "42501":
        return (
            f"The user {url.username!r} may not do that in the database {name!r}: make it the owner "
            f"(ALTER DATABASE … OWNER TO …), or grant it CREATE on the schema public."
        )
    if state == "42P07":
        return f"The database {name!r} holds tables of another program ({said}): make another one, and use that."
    if state == "53100":
        return f"The disk of the server at {_place(url)} is full: make room, then retry."
    if state.startswith(("08", "57P")):
        return f"The server at {_place(url)} ended the connection, and nothing was changed: see its log, then retry."
    return None


def _about_connecting(url: URL, said: str) -> str:
    """The driver names no state for what happens before there is a session: only words, in the server's language."""
    place = _place(url)
    said = " ".join(said.replace("connection failed: ", "").split())
    if "password" in said or "authentication" in said or "pg_hba" in said or "role " in said:
        return (
            f"The server at {place} does not let the user {url.username or ''!r} in: check user and password in the "
            "database URL (or in PGPASSWORD or ~/.pgpass)."
        )
    if "does not exist" in said:
        return (
            f"There is no database {url.database!r} on the server at {place}: make it (createdb {url.database}), or "
            "correct the database URL."
        )
    if "resolve host" in said:
        return f"The host {url.host!r} is not known: correct the database URL."
    if "too many" in said or "remaining connection slots" in said:
        return f"The server at {place} has no connection left: raise its max_connections, or stop others, then retry."
    if "starting up" in said or "shutting down" in said or "recovery" in said:
        return f"The server at {place} is starting or stopping: retry in a moment."
    if "refused" in said or "timeout" in said or "timed out" in said or "unreachable" in said:
        return f"No server answers at {place}: start it, or correct the database URL."
    return f"The server at {place} cannot be used ({_without_secret(url, said)[:300]}): check the database URL."


def _without_secret(url: URL, said: str) -> str:
    return said.replace(str(url.password), "***") if url.password else said


@dataclass(frozen=True)
class ServerFacts:
    """What a PostgreSQL server is. ``free_connections`` counts those of this database as free: they are ours."""

    version: str
    encoding: str
    free_connections: int


def describe_server(connection: Connection) -> ServerFacts | None:
    """The facts of the server behind ``connection``; None for SQLite, which has none."""
    if connection.dialect.name != "postgresql":
        return None
    free = connection.execute(
        text(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int "
            "- (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND datname <> current_database())"
        )
    ).scalar_one()
    names = ("server_version", "server_encoding")
    version, encoding = (str(connection.execute(text(f"SHOW {name}")).scalar_one()) for name in names)
    return ServerFacts(version.split()[0], encoding, int(free))


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for any other.

    >>> sqlite_file("sqlite:////data/winnow.db")
    PosixPath('/data/winnow.db')
    >>> sqlite_file("postgresql://db/winnow") is None
    True
    """
    with explained(url):
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            return None
        return Path(parsed.database)
