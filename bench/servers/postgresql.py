"""A private PostgreSQL."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from bench.servers.process import PrivateServer, ServerMissing, find_program

_USER = "winnow"
_FORBIDDEN = re.compile(r"[^a-z0-9_]")


class PostgreSQL(PrivateServer):
    """PostgreSQL from the path, from where Debian puts it, or from the wheel ``pgserver``.

    ``durable`` keeps ``fsync`` on, as in earnest; tests that kill nothing are quicker without.
    """

    name = "PostgreSQL"
    account = "postgres"
    stop_signal = signal.SIGINT  # its "fast" shutdown: does not wait for clients

    def __init__(self, folder: Path | None = None, *, durable: bool = True) -> None:
        super().__init__(folder)
        self._durable = durable
        self._password = secrets.token_hex(8)

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of its first database, which holds nothing."""
        return self._url("postgres")

    def create_database(self, name: str | None = None, template: str | None = None) -> str:
        """Make a database (a copy of the database at the URL ``template``) and give its URL."""
        return create_database(self.url, name, template)

    def drop_database(self, url: str) -> None:
        """Drop the database at ``url``, whoever is connected to it."""
        drop_database(self.url, url)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://{_USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _prepare(self) -> None:
        if os.geteuid() == 0 and self._user is None:
            raise ServerMissing(f"PostgreSQL refuses to run as root, and there is no account {self.account!r} for it")
        password = self.folder / "password"
        password.write_text(self._password)
        self._own()
        self._run(
            [
                _program("initdb"),
                *("-D", str(self.folder / "data"), "-U", _USER, "--pwfile", str(password)),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"),
            ]
        )

    def _command(self) -> Sequence[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "128MB",
            "log_min_messages": "warning",
            **({} if self._durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
        }
        settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(self.folder / "data"), *settings]

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError), psycopg.connect(address_of(self.url), connect_timeout=2):
            return True
        return False


def create_database(server_url: str, name: str | None = None, template: str | None = None) -> str:
    """Make a database on the server of ``server_url`` and give its URL; see :meth:`PostgreSQL.create_database`."""
    made = _FORBIDDEN.sub("_", (name or "winnow").lower())[:40] + "_" + secrets.token_hex(4)
    with psycopg.connect(address_of(server_url), autocommit=True) as connection:
        _create(connection, made, database_of(template) if template is not None else "template0")
    return _rendered(make_url(server_url).set(database=made))


def drop_database(server_url: str, url: str) -> None:
    """Drop the database at ``url``, whoever is connected to it."""
    with psycopg.connect(address_of(server_url), autocommit=True) as connection:
        _drop(connection, database_of(url))


def replace_database(server_url: str, url: str, template: str) -> None:
    """Put a copy of the database at ``template`` in the place of the one at ``url``, whoever is connected to that."""
    with psycopg.connect(address_of(server_url), autocommit=True) as connection:
        _drop(connection, database_of(url))
        _create(connection, database_of(url), database_of(template))


def _create(connection: psycopg.Connection, name: str, template: str) -> None:
    names = sql.Identifier(name), sql.Identifier(template)
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_of(url: str) -> str:
    """The name of the database at ``url``; the one that every server has where it names none.

    >>> database_of("postgresql://ann@/mail?host=/run/postgresql"), database_of("postgresql://db")
    ('mail', 'postgres')
    """
    return make_url(url).database or "postgres"


def address_of(url: str) -> str:
    """The SQLAlchemy URL ``url`` as psycopg takes it.

    >>> address_of("postgresql+psycopg://ann:secret@db?sslmode=require")
    'postgresql://ann:secret@db/postgres?sslmode=require'
    """
    return _rendered(make_url(url).set(drivername="postgresql", database=database_of(url)))


def _rendered(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _program(name: str) -> str:
    spec = importlib.util.find_spec("pgserver")
    wheel = Path(spec.origin).parent / "pginstall" / "bin" if spec is not None and spec.origin else None
    return find_program(
        name, list(Path("/usr/lib/postgresql").glob("*/bin")), "postgresql, or the wheel pgserver", wheel
    )
