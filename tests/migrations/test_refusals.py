"""What the operator is told when a database cannot be migrated: one line that says what to do, and no password."""

from __future__ import annotations

import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url

from migrations import runner
from winnow.db import server
from winnow.db.server import DatabaseRefused, explained
from winnow.db.session import Database

ROOT = Path(__file__).parents[2]
SECRET = "s3cret-of-the-operator"


def migrate(url: str, data: Path, command: str = "migrate") -> subprocess.CompletedProcess[str]:
    extra = ["--port", "0", "--ui-port", "0", "--no-ui"] if command == "serve" else []
    return subprocess.run(
        [sys.executable, "-m", "cli.main", command, *extra, "--data", str(data)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "WINNOW_DATABASE_URL": url},
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("winnow: ")
    return lines[0].removeprefix("winnow: ")


@pytest.mark.parametrize("command", ["migrate", "serve"])
def test_a_wrong_password_is_said_and_not_shown(postgresql_url: str, tmp_path: Path, command: str) -> None:
    url = make_url(postgresql_url).set(password=SECRET).render_as_string(hide_password=False)
    said = one_line(migrate(url, tmp_path / "data", command))
    assert "does not let the user 'winnow' in: check user and password" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"database": "not_there"}, "There is no database 'not_there' on the server at 127.0.0.1"),
        ({"port": 9}, "No server answers at 127.0.0.1:9: start it, or correct the database URL."),
        ({"host": "nowhere.invalid"}, "The host 'nowhere.invalid' is not known: correct the database URL."),
        ({"drivername": "nonsense"}, "There is no database driver for 'nonsense': use sqlite:////FOLDER/FILE or"),
        ({"drivername": "mysql"}, "There is no database driver for 'mysql': use sqlite:////FOLDER/FILE or"),
        ({"drivername": "postgresql+psycopg2"}, "There is no database driver for 'postgresql+psycopg2': use sqlite:"),
    ],
)
def test_what_cannot_be_reached_is_said(postgresql_url: str, changed: dict[str, object], says: str) -> None:
    url = make_url(postgresql_url).set(**changed).render_as_string(hide_password=False)
    with pytest.raises(DatabaseRefused) as refused:
        runner.upgrade(url)
    assert says in refused.value.detail
    assert str(make_url(postgresql_url).password) not in refused.value.detail


def test_a_url_that_is_none_is_said_without_being_shown(tmp_path: Path) -> None:
    said = one_line(migrate(f"postgresql//winnow:{SECRET}@db/winnow", tmp_path / "data"))
    assert said.startswith("The database URL cannot be read: use sqlite:")
    assert SECRET not in said


def test_a_server_that_is_too_old_is_refused(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "OLDEST_POSTGRESQL", 99)
    with pytest.raises(DatabaseRefused, match=r"is PostgreSQL \d+\.\d+; 99 or newer is needed"):
        runner.upgrade(postgresql_url)


def test_a_database_that_does_not_hold_every_character_is_refused(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        name = make_url(postgresql_url).database
        made = f"{name}_latin"
        connection.execute(text(f"CREATE DATABASE {made} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
        with pytest.raises(DatabaseRefused, match="encoded in LATIN1"):
            runner.upgrade(make_url(postgresql_url).set(database=made).render_as_string(hide_password=False))
        connection.execute(text(f"DROP DATABASE {made} WITH (FORCE)"))
    database.dispose()


def test_a_postgresql_url_needs_no_driver(postgresql_url: str) -> None:
    assert runner.upgrade(postgresql_url.replace("+psycopg", "")) is True
    assert runner.current(postgresql_url.replace("postgresql+psycopg", "postgres")) == runner.HEAD


def test_a_table_that_somebody_holds_is_said_and_nothing_is_changed(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LOCK_SECONDS", 0.2)
    runner.upgrade(postgresql_url)
    database = Database(postgresql_url)
    with database.read() as reader:
        reader.execute(text("SELECT count(*) FROM rounds"))
        with pytest.raises(DatabaseRefused, match=r"holds a lock on tables .* nothing was changed: .* then retry"):
            runner.downgrade(postgresql_url, "base")
    database.dispose()
    assert runner.current(postgresql_url) == runner.HEAD


def test_waiting_for_another_migration_is_limited_by_nothing_that_limits_its_statements(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default limits of a connection, and those of a migration's statements, are shorter than the wait here."""
    monkeypatch.setattr(runner, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(runner, "STATEMENT_SECONDS", 1)
    limited = f"{postgresql_url}?options=-c%20lock_timeout%3D50%20-c%20statement_timeout%3D50"
    database = Database(postgresql_url)
    outcome: list[bool] = []
    with database.write() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": runner._LOCK})
        waiting = threading.Thread(target=lambda: outcome.append(runner.upgrade(limited)))
        waiting.start()
        deadline = time.monotonic() + 30
        waited = 0.0
        while waited < 0.3 and time.monotonic() < deadline:
            waited = other.scalar(
                text(
                    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0)::float FROM pg_locks "
                    "WHERE locktype = 'advisory' AND NOT granted"
                )
            )
        assert waited >= 0.3
    waiting.join(30)
    database.dispose()
    assert outcome == [True]


def test_a_migration_that_never_ends_is_not_waited_for_for_ever(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TURN_SECONDS", 0.1)
    database = Database(postgresql_url)
    with database.write() as other:
        other.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": runner._LOCK})
        with pytest.raises(DatabaseRefused, match="Another migration of this database has been running"):
            runner.upgrade(postgresql_url)
    database.dispose()


def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    runner.upgrade(url)
    database = Database(url)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.dispose()
    for move in (lambda: runner.upgrade(url), lambda: runner.downgrade(url, "base")):
        with pytest.raises(DatabaseRefused, match="schema 9999, which this version of Winnow does not know"):
            move()


def test_a_user_who_may_make_no_tables_is_said(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    name = f"guest_{secrets.token_hex(4)}"
    guest = make_url(postgresql_url).set(username=name, password="guest")
    with database.write() as session:
        session.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'guest'"))
        session.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    with pytest.raises(DatabaseRefused, match=f"The user '{name}' may not do that"):
        runner.upgrade(guest.render_as_string(hide_password=False))
    with database.write() as session:
        session.execute(text(f"DROP ROLE {name}"))
    database.dispose()


def test_tables_of_another_program_are_left_alone(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.execute(text("CREATE TABLE users (name text)"))
        session.execute(text("INSERT INTO users VALUES ('theirs')"))
    with pytest.raises(DatabaseRefused, match="holds tables of another program") as refused:
        runner.upgrade(url)
    assert str(make_url(url).database) in refused.value.detail
    assert "users" in refused.value.detail
    assert "CREATE" not in refused.value.detail
    with database.read() as session:
        assert inspect(session.connection()).get_table_names() == ["users"]
        assert session.scalar(text("SELECT name FROM users")) == "theirs"
    database.dispose()


def refusal(elsewhere: str, database: Database, *statements: str) -> str:
    """What is said of ``statements`` in ``database`` while another one, at the URL ``elsewhere``, is used as well."""
    with pytest.raises(DatabaseRefused) as refused, explained(elsewhere):
        run(database, *statements)
    database.dispose()
    return refused.value.detail


def run(database: Database, *statements: str) -> None:
    with database.engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_what_is_wrong_is_said_of_the_database_that_it_is_wrong_with(url: str, tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.db", tmp_path / "other.db"
    broken.write_bytes(b"not a database at all, but long enough to look like one" * 30)
    said = refusal(url, Database(f"sqlite:///{broken}"), "SELECT 1")
    assert said.startswith(f"{broken} is not a SQLite database")
    said = refusal(url, Database(f"sqlite:///{other}"), "PRAGMA query_only = 1", "CREATE TABLE t (n int)")
    assert said.startswith(f"{other} cannot be opened for writing")
    said = refusal(url, Database("postgresql://winnow@127.0.0.1:9/mail"), "SELECT 1")
    assert said.startswith("No server answers at 127.0.0.1:9")


def test_of_two_servers_the_one_that_refused_is_named(postgresql_url: str) -> None:
    elsewhere = "postgresql://winnow@db.example.org/another"
    said = refusal(elsewhere, Database(postgresql_url), "SET statement_timeout = 1", "SELECT pg_sleep(10)")
    assert said.startswith(f"A statement on the database {make_url(postgresql_url).database!r} took too long")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    file = tmp_path / "winnow.db"
    file.write_bytes(b"not a database at all, but long enough to look like one" * 30)
    with pytest.raises(DatabaseRefused, match="is not a SQLite database, or it is damaged"):
        runner.upgrade(f"sqlite:///{file}")


@pytest.mark.parametrize(
    ("changed", "lasting"),
    [({"password": SECRET}, True), ({"database": "not_there"}, True), ({"port": 9}, False)],
    ids=["wrong password", "no database", "no server"],
)
def test_whether_to_wait_for_a_database_is_known(
    postgresql_url: str, changed: dict[str, object], lasting: bool
) -> None:
    url = make_url(postgresql_url).set(**changed).render_as_string(hide_password=False)
    with pytest.raises(DatabaseRefused) as refused:
        runner.current(url)
    assert refused.value.lasting is lasting
