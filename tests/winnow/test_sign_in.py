"""Guessing passwords gets slower and slower; the person is not locked out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from winnow import sign_in, users
from winnow.db.session import Database
from winnow.db.tables import SignInFailure
from winnow.errors import TooManyRequests, Unauthenticated

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PASSWORD = "a good password"


@pytest.fixture
def ann(database: Database) -> int:
    with database.write() as session:
        return users.create_user(session, "ann@example.org", PASSWORD, "member")[0].id


def guess(database: Database, at: datetime, address: str = "10.0.0.1", email: str = "ann@example.org") -> None:
    """One wrong password, seen through to its end."""
    with database.write() as session:
        credentials = sign_in.begin_sign_in(session, email, address, at)
        sign_in.fail_sign_in(session, credentials, at)


def test_each_further_failure_doubles_the_wait(database: Database, ann: int) -> None:
    now = NOW
    for _ in range(5):
        guess(database, now)
    waits = []
    for _ in range(9):
        with database.read() as session, pytest.raises(TooManyRequests) as raised:
            sign_in.begin_sign_in(session, "ann@example.org", "10.0.0.1", now)
        waits.append(raised.value.retry_after)
        now += timedelta(seconds=raised.value.retry_after)
        guess(database, now)
    assert waits[:6] == [15, 30, 60, 120, 240, 480]
    assert max(waits) == 900


def test_guessing_from_elsewhere_does_not_lock_the_person_out(database: Database, ann: int) -> None:
    for _ in range(5):
        guess(database, NOW, "10.9.9.9")
    with database.read() as session:
        sign_in.begin_sign_in(session, "ann@example.org", "10.0.0.1", NOW)
        sign_in.begin_sign_in(session, "bob@example.org", "10.9.9.9", NOW)
        with pytest.raises(TooManyRequests):
            sign_in.begin_sign_in(session, "ANN@example.org ", "10.9.9.9", NOW)


def test_one_address_cannot_try_many_accounts(database: Database) -> None:
    for i in range(50):
        guess(database, NOW, email=f"u{i}@example.org")
    with database.read() as session, pytest.raises(TooManyRequests):
        sign_in.begin_sign_in(session, "fresh@example.org", "10.0.0.1", NOW)


def test_failures_are_forgotten_after_an_hour(database: Database, ann: int) -> None:
    for _ in range(5):
        guess(database, NOW)
    guess(database, NOW + timedelta(hours=2))
    with database.read() as session:
        assert len(session.scalars(select(SignInFailure)).all()) == 1


def test_a_right_guess_among_too_many_in_parallel_is_not_told(database: Database, ann: int) -> None:
    with database.read() as session:
        credentials = sign_in.begin_sign_in(session, "ann@example.org", "10.0.0.1", NOW)
    for _ in range(5):
        guess(database, NOW)
    assert sign_in.password_fits(credentials, PASSWORD)
    with database.write() as session, pytest.raises(TooManyRequests):
        sign_in.finish_sign_in(session, credentials, NOW)


def test_a_password_that_changed_meanwhile_does_not_fit(database: Database, ann: int) -> None:
    with database.read() as session:
        credentials = sign_in.begin_sign_in(session, "ann@example.org", "10.0.0.1")
    with database.write() as session:
        users.set_password_hash(session, ann, "another hash")
        with pytest.raises(Unauthenticated):
            sign_in.finish_sign_in(session, credentials)
