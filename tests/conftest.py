"""What every test of the service stands on: settings, a database and a storage of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from winnow.db.base import Base
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The embedded defaults in a folder of this test."""
    return Settings(data=tmp_path / "data")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every table and no row, to be copied: quicker than making the tables for each test."""
    import winnow.db.tables  # noqa: F401 — registers them

    file = tmp_path_factory.mktemp("database") / "winnow.db"
    made = Database(f"sqlite:///{file}")
    Base.metadata.create_all(made.engine)
    made.dispose()  # the last connection folds the write-ahead log into the file
    return file


@pytest.fixture
def database(settings: Settings, empty_database: Path) -> Iterator[Database]:
    """An empty database with every table."""
    settings.data.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty_database, settings.data / "winnow.db")
    made = Database(settings.resolved_database_url)
    yield made
    made.dispose()


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """An empty folder as storage."""
    return Storage(settings.resolved_storage_url, settings.cache_folder)
