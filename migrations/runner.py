"""Move a database to a revision, in one transaction that others wait for.

Alembic is imported only when there is something to do: a start on a database that is up to date stays fast.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from winnow.db.server import DatabaseRefused, check_server, explained
from winnow.db.session import Database

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest revision; a test compares it with the files.
HEAD = "0002"
_FOLDER = Path(__file__).parent
_LOCK = 7_205_759_403_792_795

#: Another migration of the same database is waited for as long as its own statements may take, and no longer.
TURN_SECONDS = 900
#: A statement that waits for a lock makes all who come after it wait too: labeling stands still. So not for long; to
#: retry is cheap, as nothing has been done.
LOCK_SECONDS = 5
#: What takes longer than this hangs. Rewriting a table of ten million rows takes a few minutes.
STATEMENT_SECONDS = 900


def upgrade(url: str, revision: str = "head") -> bool:
    """Bring the database at ``url`` up to ``revision``; False when it was there already. Makes what is missing.

    Two that start at once do it one after the other.

    Raises:
        DatabaseRefused: it cannot be reached, is too old, somebody else holds its tables, or it is of a newer version.
    """
    wanted = HEAD if revision == "head" else revision
    if current(url) == wanted:
        return False
    from alembic import command

    with _connected(url, write=True) as connection:
        found = _revision(connection)  # what is true now that it is our turn
        if found == wanted:
            return False
        _check_known(url, found)
        command.upgrade(_config(connection), revision)
    return True


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to ``revision``; ``base`` leaves nothing.

    Raises:
        DatabaseRefused: as :func:`upgrade`.
    """
    from alembic import command

    with _connected(url, write=True) as connection:
        _check_known(url, _revision(connection))
        command.downgrade(_config(connection), revision)


def current(url: str) -> str | None:
    """The revision of the database at ``url``; None when it has no tables of ours.

    Raises:
        DatabaseRefused: it cannot be reached, or is too old.
    """
    with _connected(url, write=False) as connection:
        return _revision(connection)


def sql(dialect: str) -> str:
    """The statements from nothing to the newest revision, for ``sqlite`` or ``postgresql``."""
    from alembic import command

    config = _config(None)
    config.attributes["dialect"] = dialect
    config.attributes["output"] = output = io.StringIO()
    command.upgrade(config, "head", sql=True)
    return output.getvalue()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _check_known(url: str, found: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(_config(None)).walk_revisions()}
    if found is not None and found not in known:
        raise DatabaseRefused(
            f"The database is at schema {found}, which this version of Winnow does not know ({HEAD} is its newest): "
            "install the version that made it, or a newer one."
        )


@contextmanager
def _connected(url: str, *, write: bool) -> Iterator[Connection]:
    with explained(url):
        database = Database(url, pool_size=1)
        try:
            with database.write() if write else database.read() as session:
                connection = session.connection()
                check_server(connection)
                if write and connection.dialect.name == "postgresql":
                    _take_turn(connection)
                yield connection
        finally:
            database.dispose()


def _take_turn(connection: Connection) -> None:
    """Wait for whoever migrates the same database, and only then limit what the statements may take."""
    connection.execute(text(f"SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{TURN_SECONDS}s'"))
    try:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":
            raise
        raise DatabaseRefused(
            f"Another migration of this database has been running for {TURN_SECONDS // 60} minutes: "
            "wait until it has finished, then retry."
        ) from error
    connection.execute(
        text(
            f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'; "
            f"SET LOCAL idle_in_transaction_session_timeout = '{STATEMENT_SECONDS}s'"
        )
    )


def _config(connection: Connection | None) -> Config:
    from alembic.config import Config

    config = Config()
    config.attributes["connection"] = connection
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
