"""Signing in with a password, and slowing down those who guess.

A sign-in takes three steps, because hashing is slow and must hold no transaction open: :func:`begin_sign_in`,
:func:`password_fits`, and then :func:`finish_sign_in` or :func:`fail_sign_in`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.tables import SignInFailure, User
from winnow.errors import TooManyRequests, Unauthenticated
from winnow.security import verify_password, waste_a_verification
from winnow.users import LONGEST_PASSWORD, is_text

#: Wrong passwords that cost nothing but time; each one after that makes the next try wait twice as long.
FREE_FAILURES = 5
FIRST_WAIT = 15.0
LONGEST_WAIT = 900.0
FORGET_AFTER = timedelta(hours=1)
#: The same for one address, whatever e-mails it tries.
FREE_FAILURES_PER_ADDRESS = 50

WRONG_PASSWORD = "The e-mail or the password is wrong."  # noqa: S105 — a message


@dataclass(frozen=True)
class Credentials:
    """What a password is checked against; ``user_id`` is None when nobody has the e-mail."""

    email: str
    address: str
    user_id: int | None
    password_hash: str | None


def begin_sign_in(session: Session, email: str, address: str | None, now: datetime | None = None) -> Credentials:
    """What to check a password against.

    Check it with :func:`password_fits` outside any transaction, then call :func:`finish_sign_in` or
    :func:`fail_sign_in` in one.

    Raises:
        TooManyRequests: too many wrong passwords of late.
    """
    email = email.replace("\0", "").strip().lower()[:320]  # PostgreSQL takes no NUL
    address = (address or "")[:64]
    _check_not_slowed(session, email, address, now or utcnow())
    user = session.scalar(select(User).where(User.email == email, User.disabled_at.is_(None)))
    return Credentials(email, address, user.id if user else None, user.password_hash if user else None)


def password_fits(credentials: Credentials, password: str) -> bool:
    """Whether ``password`` is right; takes as long for an unknown e-mail. Call it outside a transaction."""
    if len(password) > LONGEST_PASSWORD or not is_text(password):
        return False
    if credentials.password_hash is None:
        waste_a_verification(password)
        return False
    return verify_password(credentials.password_hash, password)


def fail_sign_in(session: Session, credentials: Credentials, now: datetime | None = None) -> None:
    """Count a wrong password, and forget those of long ago."""
    now = now or utcnow()
    session.execute(delete(SignInFailure).where(SignInFailure.at <= now - FORGET_AFTER))
    session.add(SignInFailure(email=credentials.email, address=credentials.address, at=now))
    session.flush()


def finish_sign_in(session: Session, credentials: Credentials, now: datetime | None = None) -> User:
    """The user whose password fitted; their failures at this address are forgotten.

    Raises:
        TooManyRequests: others failed meanwhile. Of guesses made in parallel, only the first few get to know.
        Unauthenticated: the account went away, or its password changed, while the password was checked.
    """
    _check_not_slowed(session, credentials.email, credentials.address, now or utcnow())
    user = session.get(User, credentials.user_id) if credentials.user_id is not None else None
    if user is None or user.disabled_at is not None or user.password_hash != credentials.password_hash:
        raise Unauthenticated(WRONG_PASSWORD)
    session.execute(
        delete(SignInFailure).where(
            SignInFailure.email == credentials.email, SignInFailure.address == credentials.address
        )
    )
    return user


def _check_not_slowed(session: Session, email: str, address: str, now: datetime) -> None:
    here = SignInFailure.address == address
    for mine, free in ((here & (SignInFailure.email == email), FREE_FAILURES), (here, FREE_FAILURES_PER_ADDRESS)):
        count, last = session.execute(
            select(func.count(), func.max(SignInFailure.at)).where(mine, SignInFailure.at > now - FORGET_AFTER)
        ).one()
        if count < free:
            continue
        wait = min(FIRST_WAIT * 2.0 ** min(count - free, 20), LONGEST_WAIT) - (now - last).total_seconds()
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyRequests(f"Too many wrong passwords. Try again in {seconds} seconds.", retry_after=seconds)
