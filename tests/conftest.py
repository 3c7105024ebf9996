"""What every test of the service stands on: settings, a database and a storage of its own, and the servers behind them.

A server is the one that a URL in the environment names, else a private one that is started here. A test that asks for
``database`` runs on each kind of database.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from bench.servers.postgresql import PostgreSQL, address_of, create_database, drop_database
from bench.servers.process import PrivateServer, ServerMissing
from winnow.db.base import Base
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage

DatabaseKind = Literal["sqlite", "postgresql"]
RanOn = Callable[[str], None]


@dataclass(frozen=True)
class GivenServer:
    """A server at a URL, what to call it in the list of what ran where, and whether it was started here."""

    url: str
    title: str
    started_here: bool = False


def served(
    name: str, variable: str, make: Callable[[], PrivateServer], version: Callable[[str], str]
) -> Iterator[GivenServer]:
    """The server whose URL the environment names in ``variable``, else a private one; skips where there is neither."""
    given = os.environ.get(variable)
    if given:
        yield GivenServer(given, f"{name} {version(given)}".strip() + f" of {variable}")
        return
    try:
        server = make()
        server.start()
    except ServerMissing as missing:
        pytest.skip(f"{missing}, or set {variable}")
    try:
        yield GivenServer(server.url, f"{name} {version(server.url)}".strip() + ", started here", started_here=True)
    finally:
        server.stop()


def pytest_collection_finish() -> None:
    """Leave what was collected to itself: a quarter of the time went into looking for garbage among all the tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def ran_on(request: pytest.FixtureRequest) -> RanOn:
    """``ran_on("Redis 7")`` puts this test on the list of what ran on which server."""
    return lambda title: request.node.user_properties.append(("ran_on", title))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[GivenServer]:
    """PostgreSQL; its URL leads to a database that stays empty and from which others can be made."""
    yield from served(
        "PostgreSQL", "WINNOW_TEST_POSTGRESQL_URL", lambda: PostgreSQL(durable=False), _postgresql_version
    )


def _postgresql_version(url: str) -> str:
    import psycopg

    with psycopg.connect(address_of(url)) as connection:
        number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[GivenServer]:
    """Redis, for messages."""
    from bench.servers.redis import Redis

    yield from served("Redis", "WINNOW_TEST_REDIS_URL", Redis, _redis_version)


def _redis_version(url: str) -> str:
    import redis

    with redis.Redis.from_url(url) as client:
        return str(client.info("server")["redis_version"])


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[GivenServer]:
    """RabbitMQ, for messages."""
    from bench.servers.rabbitmq import RabbitMQ

    yield from served("RabbitMQ", "WINNOW_TEST_RABBITMQ_URL", RabbitMQ, _rabbitmq_version)


def _rabbitmq_version(url: str) -> str:
    import kombu

    with kombu.Connection(url) as connection:
        connection.connect()
        return str(connection.connection.server_properties.get("version", ""))


@dataclass(frozen=True)
class GivenStore:
    """An object store: what a program needs in its environment to find it, and what to call it."""

    environment: Mapping[str, str]
    title: str


@pytest.fixture(scope="session")
def object_store() -> Iterator[GivenStore]:
    """An object store that speaks S3; ``bench.servers.objects.make_bucket(environment, name)`` makes a bucket in it."""
    from bench.servers.objects import ObjectStore

    for given in served("S3", "WINNOW_TEST_S3_URL", ObjectStore, lambda url: ""):
        yield given_store(given)


def given_store(given: GivenServer) -> GivenStore:
    """The object store at a server's URL: the one that is started here is moto, another is whatever it is."""
    from bench.servers.objects import object_store_environment

    environment = {**object_store_environment(given.url, secrets.token_hex(8)), **_own_keys()}
    return GivenStore(environment, given.title.replace("S3", "S3 (moto)", 1) if given.started_here else given.title)


def _own_keys() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> DatabaseKind:
    """Each test of the database runs on both."""
    kind: DatabaseKind = request.param
    return kind


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The embedded defaults in a folder of this test; with ``database``, on that one."""
    if "database_kind" not in request.fixturenames:
        return Settings(data=tmp_path / "data")
    url: str | None = request.getfixturevalue("database_url")
    return Settings(data=tmp_path / "data", database_url=url)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every table and no row, to be copied: quicker than making the tables for each test."""
    file = tmp_path_factory.mktemp("database") / "winnow.db"
    make_tables(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def empty_postgresql(postgresql_server: GivenServer) -> Iterator[str]:
    """The URL of a PostgreSQL database with every table and no row, to be used as a template."""
    url = create_database(postgresql_server.url, "template")
    make_tables(url)
    yield url
    drop_database(postgresql_server.url, url)


def make_tables(url: str) -> None:
    """Make every table in the database at ``url``."""
    import winnow.db.tables  # noqa: F401 — registers them

    made = Database(url)
    Base.metadata.create_all(made.engine)
    made.dispose()  # the last connection to a SQLite file folds the write-ahead log into it


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, database_kind: DatabaseKind, ran_on: RanOn, tmp_path: Path
) -> Iterator[str]:
    """The URL of an empty database with every table."""
    if database_kind == "sqlite":
        file = tmp_path / "data" / "winnow.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(request.getfixturevalue("empty_database"), file)
        ran_on("SQLite")
        yield f"sqlite:///{file}"
        return
    server: GivenServer = request.getfixturevalue("postgresql_server")
    url = create_database(server.url, "test", template=request.getfixturevalue("empty_postgresql"))
    ran_on(server.title)
    yield url
    drop_database(server.url, url)


@pytest.fixture
def database(settings: Settings, database_url: str) -> Iterator[Database]:
    """An empty database with every table."""
    made = Database(database_url)
    yield made
    made.dispose()


@pytest.fixture
def storage(settings: Settings) -> Storage:
    """An empty folder as storage."""
    return Storage(settings.resolved_storage_url, settings.cache_folder)
