"""What counts as "the database is away", and what is a bug."""

from __future__ import annotations

import psycopg
import psycopg.errors
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError, ProgrammingError

from winnow.db.outage import outage_of, outages_ignored
from winnow.db.session import Database


@pytest.mark.parametrize(
    ("error", "outage"),
    [
        (OperationalError("", {}, psycopg.OperationalError("connection refused")), "away"),
        (OperationalError("", {}, psycopg.errors.AdminShutdown()), "away"),
        (OperationalError("", {}, psycopg.errors.CannotConnectNow()), "away"),
        (InternalError("", {}, psycopg.errors.IdleInTransactionSessionTimeout()), "away"),
        (OperationalError("", {}, psycopg.errors.DeadlockDetected()), "busy"),
        (OperationalError("", {}, psycopg.errors.SerializationFailure()), "busy"),
        (OperationalError("", {}, psycopg.errors.LockNotAvailable()), "busy"),
        (OperationalError("", {}, psycopg.errors.QueryCanceled()), "busy"),
        (OperationalError("", {}, psycopg.errors.TooManyConnections()), "busy"),
        (OperationalError("", {}, psycopg.errors.DiskFull()), "busy"),
        (IntegrityError("", {}, psycopg.errors.UniqueViolation()), None),
        (ProgrammingError("", {}, psycopg.errors.UndefinedTable()), None),
        (ProgrammingError("", {}, psycopg.ProgrammingError("no result")), None),
        (KeyError("a bug"), None),
    ],
    ids=lambda value: type(getattr(value, "orig", value)).__name__ if isinstance(value, Exception) else None,
)
def test_outages_are_told_by_what_the_server_says(error: DBAPIError, outage: str | None) -> None:
    assert outage_of(error) == outage


def test_what_led_to_an_error_counts() -> None:
    error = RuntimeError("no features")
    error.__cause__ = OperationalError("", {}, psycopg.OperationalError("the connection is lost"))
    assert outage_of(error) == "away"


def test_only_outages_are_ignored() -> None:
    with outages_ignored():
        raise OperationalError("", {}, psycopg.OperationalError("the connection is lost"))
    with pytest.raises(ZeroDivisionError), outages_ignored():
        _ = 1 / 0


def test_a_server_that_is_not_there_is_away() -> None:
    database = Database("postgresql+psycopg://somebody:secret@127.0.0.1:1/none")
    with pytest.raises(OperationalError) as caught, database.read() as session:
        session.connection()
    assert outage_of(caught.value) == "away"
    database.dispose()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_nobody_waits_for_ever(database: Database) -> None:
    with database.read() as session:
        shown = {
            name: session.connection().exec_driver_sql(f"SHOW {name}").scalar()
            for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
        }
    assert shown["lock_timeout"] == "30s"
    assert shown["statement_timeout"] == shown["idle_in_transaction_session_timeout"] == "1min"


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_the_url_of_the_operator_goes_before_our_limits(database: Database) -> None:
    own = Database(f"{database.url}?options=-c%20lock_timeout%3D7s")
    with own.read() as session:
        assert session.connection().exec_driver_sql("SHOW lock_timeout").scalar() == "7s"
    own.dispose()
