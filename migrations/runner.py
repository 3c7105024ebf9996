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

from winnow.db.session import Database

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest revision; a test compares it with the files.
HEAD = "0001"
_FOLDER = Path(__file__).parent
_LOCK = 7_205_759_403_792_795


def upgrade(url: str, revision: str = "head") -> bool:
    """Bring the database at ``url`` up to ``revision``; False when it was there already. Makes what is missing.

    Two that start at once do it one after the other.
    """
    if current(url) == (HEAD if revision == "head" else revision):
        return False
    from alembic import command

    with _connected(url, write=True) as connection:
        command.upgrade(_config(connection), revision)
    return True


def downgrade(url: str, revision: str) -> None:
    """Take the database at ``url`` back to ``revision``; ``base`` leaves nothing."""
    from alembic import command

    with _connected(url, write=True) as connection:
        command.downgrade(_config(connection), revision)


def current(url: str) -> str | None:
    """The revision of the database at ``url``; None when it has no tables of ours."""
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


@contextmanager
def _connected(url: str, *, write: bool) -> Iterator[Connection]:
    database = Database(url, pool_size=1)
    try:
        with database.write() if write else database.read() as session:
            connection = session.connection()
            if write and connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            yield connection
    finally:
        database.dispose()


def _config(connection: Connection | None) -> Config:
    from alembic.config import Config

    config = Config()
    config.attributes["connection"] = connection
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
