"""The database, made ready and opened for a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migrations.runner import HEAD, current, upgrade
from winnow.db.session import Database
from winnow.settings import Settings


def migrate(settings: Settings) -> tuple[str | None, str]:
    """Bring the schema to the newest revision; gives the revisions before and after. Safe to run at any time."""
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    before = current(settings.resolved_database_url)
    upgrade(settings.resolved_database_url)
    return before, HEAD


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database of ``settings``, at the newest schema; closed again at the end."""
    migrate(settings)
    with existing(settings) as database:
        yield database


@contextmanager
def existing(settings: Settings) -> Iterator[Database]:
    """The database of ``settings`` as it is; closed again at the end."""
    database = Database(settings.resolved_database_url, pool_size=1)
    try:
        yield database
    finally:
        database.dispose()
