from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.servers.postgresql import create_database, drop_database
from tests.winnow.copying.sample import Sample, storage
from winnow.copying.transfer import CopiedProject, Transfer, snapshot
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage

MakeDatabase = Callable[[str], Database]


@pytest.fixture
def make_database(request: pytest.FixtureRequest, ran_on, tmp_path: Path) -> Iterator[MakeDatabase]:
    """Makes databases of a kind, each with every table and no row."""
    made: list[Database] = []
    dropped: list[tuple[str, str]] = []

    def make(kind: str) -> Database:
        if kind == "sqlite":
            file = tmp_path / f"winnow{len(made)}.db"
            shutil.copyfile(request.getfixturevalue("empty_database"), file)
            ran_on("SQLite")
            made.append(Database(f"sqlite:///{file}"))
        else:
            server = request.getfixturevalue("postgresql_server")
            url = create_database(server.url, "copy", template=request.getfixturevalue("empty_postgresql"))
            ran_on(server.title)
            dropped.append((server.url, url))
            made.append(Database(url))
        return made[-1]

    yield make
    for database in made:
        database.dispose()
    for server_url, url in dropped:
        drop_database(server_url, url)


@dataclass
class Ends:
    """Both ends of a copy. ``sample`` is at the source."""

    source: Database
    target: Database
    from_storage: Storage
    to_storage: Storage
    sample: Sample

    def copy(self, *, again: bool = False, everybody: bool = False) -> CopiedProject:
        """Copy the sample."""
        with snapshot(self.source) as seen:
            transfer = Transfer(seen, self.target, self.from_storage, self.to_storage, everybody, again)
            transfer.prepare([self.sample.project_id])
            return transfer.copy(self.sample.project_id)


@pytest.fixture(params=["sqlite to postgresql", "postgresql to sqlite"])
def ends(request: pytest.FixtureRequest, make_database: MakeDatabase, settings: Settings, tmp_path: Path) -> Ends:
    """A sample on one kind of database, and an empty one of the other kind."""
    source, target = (make_database(kind) for kind in request.param.split(" to "))
    files = storage(tmp_path / "from")
    return Ends(source, target, files, storage(tmp_path / "to"), Sample.worked_on(source, settings, files))


@pytest.fixture
def to_postgresql(make_database: MakeDatabase, settings: Settings, tmp_path: Path) -> Ends:
    """A sample on SQLite, and an empty PostgreSQL."""
    source, files = make_database("sqlite"), storage(tmp_path / "from")
    sample = Sample.worked_on(source, settings, files)
    return Ends(source, make_database("postgresql"), files, storage(tmp_path / "to"), sample)


@pytest.fixture
def to_sqlite(make_database: MakeDatabase, settings: Settings, tmp_path: Path) -> Ends:
    """A sample on SQLite, and an empty SQLite."""
    source, files = make_database("sqlite"), storage(tmp_path / "from")
    sample = Sample.worked_on(source, settings, files)
    return Ends(source, make_database("sqlite"), files, storage(tmp_path / "to"), sample)
