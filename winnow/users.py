"""People: accounts, sign-in and tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Row, Select, bindparam, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.tables import Token, User
from winnow.errors import Conflict, Invalid, NotFound, Unauthenticated
from winnow.names import check_name
from winnow.permissions import GLOBAL_ROLES
from winnow.security import (
    hash_password,
    hash_secret,
    new_password,
    new_secret,
)

DEFAULT_OWNER = "owner@localhost"
SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 1024

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,255}")


@dataclass(frozen=True)
class Identity:
    """Who a request comes from, and by which token."""

    user_id: int
    email: str
    role: str
    token_id: int
    must_change_password: bool


def normalize_email(email: str) -> str:
    """The form in which an e-mail is stored and compared.

    Raises:
        Invalid: it is not one.
    """
    email = email.strip().lower()
    try:
        check_name(email, 320)
    except ValueError as error:
        raise Invalid.field("email", str(error)) from None
    if not _EMAIL.fullmatch(email):
        raise Invalid.field("email", "is not an e-mail address")
    return email


def check_password(password: str, field: str = "password") -> str:
    """Give back ``password`` if it may be one; ``field`` is what the caller knows it by.

    Raises:
        Invalid: it is shorter than 8 characters or longer than 1,024.
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Invalid.field(field, f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
    if not is_text(password):
        raise Invalid.field(field, "must be text")
    return password


@dataclass(frozen=True)
class NewUser:
    """An account to be, checked and hashed; ``generated`` is its password if it was given none."""

    email: str
    role: str
    password_hash: str
    generated: str | None


def prepare_user(email: str, password: str | None, role: str) -> NewUser:
    """Check a new account and hash its password: slow, so outside any transaction.

    Raises:
        Invalid: the e-mail, the password or the role cannot be one.
    """
    if role not in GLOBAL_ROLES:
        raise Invalid.field("role", f"must be one of {', '.join(GLOBAL_ROLES)}")
    email = normalize_email(email)
    if password is None:
        generated = new_password()
        return NewUser(email, role, hash_password(generated), generated)
    return NewUser(email, role, hash_password(check_password(password)), None)


def add_user(session: Session, new: NewUser) -> User:
    """Make an account. A generated password has to be changed.

    Raises:
        Conflict: somebody has this e-mail already.
    """
    user = User(
        email=new.email,
        password_hash=new.password_hash,
        role=new.role,
        must_change_password=new.generated is not None,
    )
    try:
        with session.begin_nested():
            session.add(user)
    except IntegrityError:
        raise Conflict(f"Somebody has the e-mail {new.email} already.") from None
    return user


def create_user(session: Session, email: str, password: str | None, role: str) -> tuple[User, str | None]:
    """:func:`prepare_user` and :func:`add_user` in one; gives the account and its generated password, if any."""
    new = prepare_user(email, password, role)
    return add_user(session, new), new.generated


def ensure_owner(session: Session, email: str | None, password: str | None) -> tuple[str, str] | None:
    """Make the owner if there is none; gives ``(email, password)`` of a new one, to be shown once."""
    if session.scalar(select(User.id).where(User.role == "owner").limit(1)) is not None:
        return None
    user, generated = create_user(session, email or DEFAULT_OWNER, password, "owner")
    return user.email, generated or password or ""


def find_user(session: Session, email: str) -> User:
    """The active account with this e-mail; NotFound if there is none."""
    user = session.scalar(select(User).where(User.email == email.strip().lower(), User.disabled_at.is_(None)))
    if user is None:
        raise NotFound(f"Nobody here has the e-mail {email}.")
    return user


def get_user(session: Session, user_id: int) -> User:
    """The account with this id; NotFound if there is none."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no user with this id.")
    return user


def list_users(session: Session, *, after: int = 0, limit: int = 100) -> list[User]:
    """Accounts with an id above ``after``, oldest first."""
    return list(session.scalars(select(User).where(User.id > after).order_by(User.id).limit(limit)))


def issue_token(
    session: Session, user_id: int, name: str, kind: Literal["api", "session"], hours: float | None = None
) -> tuple[Token, str]:
    """Make a token; gives its row and its secret, which is not kept. Without ``hours`` it does not expire.

    Raises:
        Invalid: ``name`` cannot be a name.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise Invalid.field("name", str(error)) from None
    now = utcnow()
    secret = new_secret()
    token = Token(
        user_id=user_id,
        name=name,
        kind=kind,
        secret_hash=hash_secret(secret),
        created_at=now,
        expires_at=None if hours is None else now + timedelta(hours=hours),
    )
    session.add(token)
    session.flush()
    if kind == "session":
        session.execute(delete(Token).where(Token.user_id == user_id, Token.expires_at < now))
    return token, secret


def resolve_token(session: Session, secret: str) -> Identity:
    """Who bears this token.

    Raises:
        Unauthenticated: nobody does: it is unknown, expired or revoked, or its account is disabled.
    """
    return identity_of(session.connection().execute(BEARER, {"hash": hash_secret(secret)}).one_or_none())


def identity_of(row: Row[*tuple[Any, ...]] | None) -> Identity:
    """Who a row of :data:`BEARER` is; Unauthenticated if there is none or its token has expired."""
    if row is None or (row.expires_at is not None and row.expires_at <= utcnow()):
        raise Unauthenticated("This token is not known or not valid any more. Sign in again.")
    return Identity(row.user_id, row.email, row.role, row.token_id, row.must_change_password)


def list_tokens(session: Session, user_id: int, *, before: int | None = None, limit: int = 100) -> list[Token]:
    """The live API tokens of somebody, newest first; ``before`` gives those with smaller ids."""
    wanted = select(Token).where(Token.user_id == user_id, Token.kind == "api", Token.revoked_at.is_(None))
    if before is not None:
        wanted = wanted.where(Token.id < before)
    return list(session.scalars(wanted.order_by(Token.id.desc()).limit(limit)))


def revoke_token(session: Session, user_id: int, token_id: int) -> None:
    """End a token of ``user_id`` at once; NotFound if they have no live token with this id."""
    token = session.get(Token, token_id)
    if token is None or token.user_id != user_id or token.revoked_at is not None:
        raise NotFound("You have no token with this id.")
    token.revoked_at = utcnow()
    session.flush()


def set_password_hash(session: Session, user_id: int, hashed: str, *, keep_token: int | None = None) -> None:
    """Set a new password, hashed outside the transaction, and end every other sign-in; API tokens stay."""
    user = get_user(session, user_id)
    user.password_hash = hashed
    user.must_change_password = False
    session.execute(
        update(Token)
        .where(Token.user_id == user_id, Token.kind == "session", Token.id != (keep_token or 0))
        .values(revoked_at=utcnow())
    )
    session.flush()


def is_text(password: str) -> bool:
    """Whether ``password`` can be encoded: JSON lets lone surrogates through."""
    try:
        password.encode()
    except UnicodeEncodeError:
        return False
    return True


#: Whoever bears the token with this ``hash``, unless it is revoked or the account is disabled.
BEARER: Select[int, datetime | None, int, str, str, bool] = (
    select(
        Token.id.label("token_id"),
        Token.expires_at,
        User.id.label("user_id"),
        User.email,
        User.role,
        User.must_change_password,
    )
    .join(User, User.id == Token.user_id)
    .where(Token.secret_hash == bindparam("hash"), Token.revoked_at.is_(None), User.disabled_at.is_(None))
)
