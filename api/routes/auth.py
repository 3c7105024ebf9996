"""Sign-in, and what the signed-in can do about themselves."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.deps import DatabaseDep, Me, SettingsDep, address_of
from api.schemas.user import AccessToken, MeOut, PasswordChange, SignIn
from winnow import audit, sign_in, users
from winnow.db.session import Database
from winnow.errors import Invalid, Unauthenticated
from winnow.security import hash_password

router = APIRouter(tags=["sign-in"])


def _check(database: Database, email: str, password: str, address: str | None) -> sign_in.Credentials | None:
    """What fitted, or None after a wrong password was counted and audited. No transaction is open while it hashes."""
    with database.read() as session:
        credentials = sign_in.begin_sign_in(session, email, address)
    if sign_in.password_fits(credentials, password):
        return credentials
    with database.write() as session:
        sign_in.fail_sign_in(session, credentials)
        audit.record(
            session, "user.sign_in_failed", user_id=credentials.user_id, address=address, email=credentials.email
        )
    return None


@router.post(
    "/auth/token",
    responses={
        401: {"description": "The e-mail or the password is wrong."},
        429: {"description": "Too many wrong passwords; see Retry-After."},
    },
)
def create_access_token(body: SignIn, request: Request, database: DatabaseDep, settings: SettingsDep) -> AccessToken:
    """Trade an e-mail and a password for a token. Wrong passwords slow the next try down."""
    address = address_of(request)
    credentials = _check(database, body.email, body.password.get_secret_value(), address)
    if credentials is None:
        raise Unauthenticated(sign_in.WRONG_PASSWORD)
    with database.write() as session:
        user = sign_in.finish_sign_in(session, credentials)
        _, secret = users.issue_token(session, user.id, "sign-in", "session", settings.token_hours)
        audit.record(session, "user.sign_in", user_id=user.id, address=address)
    return AccessToken(access_token=secret, expires_in=int(settings.token_hours * 3600))


@router.delete("/auth/token", status_code=204)
def delete_access_token(me: Me, database: DatabaseDep) -> Response:
    """End the token that this request bears."""
    with database.write() as session:
        users.revoke_token(session, me.identity.user_id, me.identity.token_id)
        me.record(session, "user.sign_out")
    return Response(status_code=204)


@router.get("/me")
def get_me(me: Me) -> MeOut:
    """Who the token belongs to."""
    who = me.identity
    return MeOut(id=str(who.user_id), email=who.email, role=who.role, must_change_password=who.must_change_password)


@router.post(
    "/me/password",
    status_code=204,
    responses={429: {"description": "Too many wrong passwords; see Retry-After."}},
)
def change_password(body: PasswordChange, me: Me, database: DatabaseDep) -> Response:
    """Set a new password. Every other sign-in ends; API tokens stay."""
    new = users.check_password(body.new.get_secret_value(), "new")
    if _check(database, me.identity.email, body.current.get_secret_value(), me.address) is None:
        raise Invalid.field("current", "is not your present password")
    hashed = hash_password(new)
    with database.write() as session:
        users.set_password_hash(session, me.identity.user_id, hashed, keep_token=me.identity.token_id)
        me.record(session, "user.change_password")
    return Response(status_code=204)
