"""Accounts, sign-in and tokens, without HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select

from winnow import sign_in, users
from winnow.db.session import Database
from winnow.db.tables import Token, User
from winnow.errors import Conflict, Invalid, NotFound, Unauthenticated

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PASSWORD = "a good password"


@pytest.fixture
def ann(database: Database) -> int:
    with database.write() as session:
        return users.create_user(session, "ann@example.org", PASSWORD, "member")[0].id


def test_the_owner_is_made_once(database: Database) -> None:
    with database.write() as session:
        made = users.ensure_owner(session, None, None)
        assert made is not None
        assert made[0] == "owner@localhost"
        user = users.find_user(session, made[0])
        assert (user.role, user.must_change_password) == ("owner", True)
        assert sign_in.password_fits(sign_in.begin_sign_in(session, made[0], "x"), made[1])
        assert users.ensure_owner(session, "other@example.org", "another password") is None


def test_the_operator_can_name_the_owner(database: Database) -> None:
    with database.write() as session:
        assert users.ensure_owner(session, "Me@Example.org", PASSWORD) == ("me@example.org", PASSWORD)
        assert users.find_user(session, "me@example.org").must_change_password is False


def test_an_email_is_one_account_whatever_its_case(database: Database, ann: int) -> None:
    with database.write() as session, pytest.raises(Conflict):
        users.create_user(session, "ANN@example.org", PASSWORD, "member")
    with database.read() as session:
        assert len(session.scalars(select(User)).all()) == 1


@pytest.mark.parametrize("email", ["", "ann", "@", "a b@example.org", "a@b@c", "a\n@example.org", "x" * 400 + "@y"])
def test_what_is_no_email_is_refused(email: str) -> None:
    with pytest.raises(Invalid):
        users.normalize_email(email)


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "\ud800" * 10])
def test_what_cannot_be_a_password_is_refused(password: str) -> None:
    with pytest.raises(Invalid):
        users.check_password(password)


def test_a_token_resolves_in_one_statement(database: Database, ann: int) -> None:
    with database.write() as session:
        token, secret = users.issue_token(session, ann, "script", "api")
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2].split()[0]))
    with database.read() as session:
        identity = users.resolve_token(session, secret)
    assert identity == users.Identity(ann, "ann@example.org", "member", token.id, False)
    assert [name for name in statements if name != "BEGIN"] == ["SELECT"]


def test_expired_sign_ins_are_swept_when_the_person_signs_in(database: Database, ann: int) -> None:
    with database.write() as session:
        users.issue_token(session, ann, "sign-in", "session", -1)
        api, _ = users.issue_token(session, ann, "script", "api")
        kept, _ = users.issue_token(session, ann, "sign-in", "session", 1)
    with database.read() as session:
        assert set(session.scalars(select(Token.id))) == {api.id, kept.id}


def test_only_live_tokens_of_ones_own_can_be_revoked(database: Database, ann: int) -> None:
    with database.write() as session:
        token, secret = users.issue_token(session, ann, "script", "api")
        with pytest.raises(NotFound):
            users.revoke_token(session, ann + 1, token.id)
        users.revoke_token(session, ann, token.id)
        with pytest.raises(NotFound):
            users.revoke_token(session, ann, token.id)
        with pytest.raises(Unauthenticated):
            users.resolve_token(session, secret)
