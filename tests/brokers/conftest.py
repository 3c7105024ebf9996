"""Deployments: SQLite with the embedded broker, PostgreSQL with Redis, PostgreSQL with RabbitMQ."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.servers.postgresql import create_database, drop_database
from bench.servers.process import PrivateServer, ServerMissing
from bench.servers.rabbitmq import RabbitMQ
from bench.servers.redis import Redis
from tests.brokers.deployment import Deployment
from tests.conftest import GivenServer, RanOn
from winnow.db.session import Database


@contextmanager
def deployed(kind: str, broker_url: str, database_url: str, folder: Path) -> Iterator[Deployment]:
    """A deployment without a worker and without a message; workers that are started are killed at its end."""
    database = Database(database_url)
    made = Deployment(kind, broker_url, database, database_url, folder)
    made.purge()
    made.check_alone()
    try:
        yield made
    finally:
        for worker in made.workers:
            worker.kill()
        database.dispose()


@pytest.fixture(scope="package", params=["embedded", "redis", "rabbitmq"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Five exports and a round, asked for in this order (``asked``), and then two workers with three processes."""
    folder = tmp_path_factory.mktemp(request.param)
    with made_shared(request, request.param, folder) as made:
        made.asked = [*(made.ask("export") for _ in range(5)), made.ask("round")]
        made.start(concurrency=2)
        made.start()
        yield made


@contextmanager
def made_shared(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[Deployment]:
    """The deployment of this kind, on the servers of the session."""
    if kind == "embedded":
        shutil.copyfile(request.getfixturevalue("empty_database"), folder / "winnow.db")
        broker, database = f"sqla+sqlite:///{folder / 'broker.db'}", f"sqlite:///{folder / 'winnow.db'}"
        with deployed(kind, broker, database, folder) as made:
            made.ran_on = ["SQLite"]
            yield made
        return
    server: GivenServer = request.getfixturevalue(f"{kind}_server")
    postgresql: GivenServer = request.getfixturevalue("postgresql_server")
    url = create_database(postgresql.url, kind, template=request.getfixturevalue("empty_postgresql"))
    with deployed(kind, server.url, url, folder) as made:
        made.ran_on = [postgresql.title, server.title]
        yield made
    drop_database(postgresql.url, url)


@pytest.fixture
def deployment(shared: Deployment, ran_on: RanOn) -> Iterator[Deployment]:
    """The shared deployment, with three idle processes."""
    for title in shared.ran_on:
        ran_on(title)
    while len(shared.alive()) < 2:
        shared.start(concurrency=1 if any(worker.concurrency == 2 for worker in shared.alive()) else 2)
    shared.idle(3)
    yield shared
    shared.open_gates()


@pytest.fixture(scope="module", params=["redis", "rabbitmq"])
def mortal_server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    """A broker of this module's own, to be killed."""
    server = {"redis": Redis, "rabbitmq": RabbitMQ}[request.param]()
    try:
        server.start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture
def mortal(mortal_server: PrivateServer, empty_database: Path, tmp_path: Path, ran_on: RanOn) -> Iterator[Deployment]:
    """A deployment around the mortal broker, on SQLite."""
    mortal_server.start()
    ran_on(f"{mortal_server.name}, killed here")
    shutil.copyfile(empty_database, tmp_path / "winnow.db")
    with deployed(
        mortal_server.name.lower(), mortal_server.url, f"sqlite:///{tmp_path / 'winnow.db'}", tmp_path
    ) as made:
        yield made
