from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.servers.postgresql import create_database, drop_database


@pytest.fixture
def url(request: pytest.FixtureRequest, database_kind: str, ran_on, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it, of each kind."""
    if database_kind == "sqlite":
        ran_on("SQLite")
        yield f"sqlite:///{tmp_path / 'made' / 'winnow.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    ran_on(server.title)
    made = create_database(server.url, "migrations")
    yield made
    drop_database(server.url, made)


@pytest.fixture
def postgresql_url(postgresql_server, ran_on) -> Iterator[str]:
    """The URL of a PostgreSQL database with nothing in it."""
    ran_on(postgresql_server.title)
    made = create_database(postgresql_server.url, "migrations")
    yield made
    drop_database(postgresql_server.url, made)
