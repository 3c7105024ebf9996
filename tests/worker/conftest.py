"""Fixtures for jobs that are done in this process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.servers.postgresql import create_database, drop_database, replace_database
from tests.conftest import DatabaseKind, GivenServer
from tests.worker.service import Service
from winnow import users
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture(autouse=True)
def no_loop_of_a_browser() -> Iterator[None]:
    """Tests of pages that ran before in this process leave the loop of their browser running; a worker has none."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture
def service(settings: Settings, database: Database, storage: Storage) -> Service:
    """A service without an API and without worker processes."""
    with database.write() as session:
        user = users.add_user(session, users.NewUser("owner@example.org", "owner", "!", None))
        return Service(settings, database, storage, user.id)


Begun = Callable[[Callable[[Service], int]], int]


class Kept:
    """What a module's tests begin with, made once for each kind of database and copied for each test: its data folder,
    and its database where that is not a file in there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, str], tuple[int, Path, str]] = {}
        self._at_the_end = ExitStack()

    def begun(self, service: Service, server: GivenServer | None, make: Callable[[Service], int]) -> int:
        """``make(service)``, or what it returned and left in the service of the first test that asked."""
        key = make.__qualname__, service.database.engine.dialect.name
        if key not in self._made:
            self._made[key] = self._keep(service, server, make(service), self._folder / "-".join(key))
            return self._made[key][0]
        project, folder, url = self._made[key]
        service.database.dispose()
        shutil.copytree(folder, service.settings.data, dirs_exist_ok=True)
        if server is not None:
            replace_database(server.url, service.database.url, template=url)
        return project

    def _keep(self, service: Service, server: GivenServer | None, project: int, folder: Path) -> tuple[int, Path, str]:
        service.database.dispose()  # what is open cannot be copied
        shutil.copytree(service.settings.data, folder)
        if server is None:
            return project, folder, ""
        url = create_database(server.url, "kept", template=service.database.url)
        self._at_the_end.callback(drop_database, server.url, url)
        return project, folder, url

    def drop(self) -> None:
        """Drop the databases."""
        self._at_the_end.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """What this module's tests begin with."""
    made = Kept(tmp_path_factory.mktemp("kept"))
    yield made
    made.drop()


@pytest.fixture
def begun(request: pytest.FixtureRequest, service: Service, database_kind: DatabaseKind, kept: Kept) -> Begun:
    """``begun(make)`` is ``make(service)``, called by the module's first test on this kind of database only."""
    server = request.getfixturevalue("postgresql_server") if database_kind == "postgresql" else None
    return lambda make: kept.begun(service, server, make)
