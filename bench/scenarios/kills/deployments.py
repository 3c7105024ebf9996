"""The deployments that are pulled apart: what they consist of, and who restarts what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.server import RunningServer
from bench.servers.postgresql import PostgreSQL
from bench.servers.process import PrivateServer
from bench.servers.rabbitmq import RabbitMQ
from bench.servers.redis import Redis
from winnow.settings import Settings

DEPLOYMENTS = ("sqlite", "postgresql+redis", "postgresql+rabbitmq")
PARTS = ("api", "worker", "child", "stopped", "broker", "database")
#: The parts that take their work with them: only these may count as deaths of jobs.
LOSE_WORK = frozenset({"worker", "child", "stopped"})
#: Jobs that are done at once: enough for a round and an import at the same time.
WORKERS = 2
#: On a slow machine kills come faster than rounds end; work that kills its own worker is not what this is about.
_MAX_ATTEMPTS = "1000"


@dataclass(frozen=True)
class Deployment:
    """A running service with the servers behind it; None where they are files."""

    name: str
    server: RunningServer
    settings: Settings
    database: PostgreSQL | None
    broker: PrivateServer | None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that there are to kill."""
        absent = {"database": self.database is None, "broker": self.broker is None}
        return tuple(part for part in PARTS if not absent.get(part, False))


@contextmanager
def deployed(name: str) -> Iterator[Deployment]:
    """A service in a temporary folder, on servers of its own.

    Raises:
        ServerMissing: a server's program is not on this machine.
    """
    with ExitStack() as stack:
        environment = {"WINNOW_MAX_ATTEMPTS": _MAX_ATTEMPTS}
        database: PostgreSQL | None = None
        broker: PrivateServer | None = None
        if name != "sqlite":
            database = stack.enter_context(PostgreSQL(durable=True))
            broker = stack.enter_context(Redis() if name.endswith("redis") else RabbitMQ())
            environment |= {"WINNOW_DATABASE_URL": database.create_database(), "WINNOW_BROKER_URL": broker.url}
        server = stack.enter_context(RunningServer(environment=environment, workers=WORKERS))
        settings = Settings(
            data=server.data,
            database_url=environment.get("WINNOW_DATABASE_URL"),
            broker_url=environment.get("WINNOW_BROKER_URL"),
        )
        yield Deployment(name, server, settings, database, broker)
