"""What routes are handed: settings, database, storage, and a caller who may do what the route does."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.orm import Session

from winnow import audit, projects, users
from winnow.counters import entered_project
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.errors import FieldError, Forbidden, Invalid, NotFound, Unauthenticated
from winnow.ids import parse_id
from winnow.permissions import Permission, global_role_allows
from winnow.settings import Settings
from winnow.storage import Storage
from winnow.users import Identity

_bearer = HTTPBearer(
    scheme_name="bearer", auto_error=False, description="An API token, or one from POST /v1/auth/token."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def get_settings(request: Request) -> Settings:
    """The settings that the application was made with."""
    return cast(Settings, request.app.state.settings)


async def get_database(request: Request) -> Database:
    """The application's database."""
    return cast(Database, request.app.state.database)


async def get_storage(request: Request) -> Storage:
    """The application's storage."""
    return cast(Storage, request.app.state.storage)


SettingsDep = Annotated[Settings, Depends(get_settings)]
DatabaseDep = Annotated[Database, Depends(get_database)]
StorageDep = Annotated[Storage, Depends(get_storage)]


def hold() -> Iterator[ExitStack]:
    """What must last until the answer has been sent."""
    with ExitStack() as held:
        yield held


HeldDep = Annotated[ExitStack, Depends(hold)]


@dataclass(frozen=True)
class SignedIn:
    """Whoever bears the request's token, and the address that they call from."""

    identity: Identity
    address: str | None

    def record(self, session: Session, action: str, *, project_id: int | None = None, **detail: Any) -> None:
        """Write ``action`` to the audit trail in the name of the caller."""
        audit.record(
            session,
            action,
            user_id=self.identity.user_id,
            project_id=project_id,
            address=self.address,
            **detail,
        )


@dataclass(frozen=True)
class Caller:
    """Somebody who holds the permission that the route asked for, in ``role`` on ``project_id``. Plain data."""

    identity: Identity
    project_id: int
    role: str
    address: str | None

    def record(self, session: Session, action: str, **detail: Any) -> None:
        """Write ``action`` on this project to the audit trail in the name of the caller."""
        audit.record(
            session,
            action,
            user_id=self.identity.user_id,
            project_id=self.project_id,
            address=self.address,
            **detail,
        )


def address_of(request: Request) -> str | None:
    """The address that the request came from."""
    return request.client.host if request.client else None


def identity(request: Request, credentials: Credentials, database: DatabaseDep) -> SignedIn:
    """Whoever bears the token of the request; 401 without a valid one."""
    with database.read() as session:
        return SignedIn(users.resolve_token(session, _secret(credentials)), address_of(request))


Me = Annotated[SignedIn, Depends(identity)]


def global_caller(permission: Permission) -> Callable[..., SignedIn]:
    """A dependency for routes outside a project: somebody whose role in the service holds ``permission``."""

    def dependency(me: Me) -> SignedIn:
        if not global_role_allows(me.identity.role, permission):
            raise Forbidden(f"Your role, {me.identity.role}, does not allow {permission.value}.")
        return me

    return dependency


def project_caller(permission: Permission) -> Callable[..., Caller]:
    """A dependency for ``/v1/projects/{p}/…``: somebody who holds ``permission`` there.

    It reads the token and the membership, one statement each, in a short session of its own.
    """

    def dependency(
        request: Request,
        credentials: Credentials,
        database: DatabaseDep,
        p: Annotated[str, Path(description="The project's id.")],
    ) -> Caller:
        secret = _secret(credentials)
        with database.read() as session:
            who = users.resolve_token(session, secret)
            project_id = parse_id(p, "project")
            role = projects.member_role(session, who, project_id, permission)
        return Caller(who, project_id, role, address_of(request))

    return dependency


@dataclass(frozen=True)
class Door:
    """The door of a project: who stands before it is looked at in the transaction that they ask for.

    For what happens a thousand times a second: one trip to a thread and one transaction serve the whole request.
    """

    _database: Database
    _secret: str
    _project: str
    _permission: Permission

    @contextmanager
    def enter(self) -> Iterator[tuple[Session, Identity, Project]]:
        """A write session, the caller, and the project as :func:`~winnow.counters.counted_project` reads it."""
        try:
            project_id = parse_id(self._project, "project")
        except NotFound:
            self.check()
            raise
        with self._database.write() as session:
            yield session, *entered_project(session, self._secret, project_id, self._permission)

    def check(self) -> None:
        """Raise what :meth:`enter` would, without a lock."""
        with self._database.read() as session:
            who = users.resolve_token(session, self._secret)
            projects.member_role(session, who, parse_id(self._project, "project"), self._permission)


def project_door(permission: Permission) -> Callable[..., Coroutine[Any, Any, Door]]:
    """A dependency for ``/v1/projects/{p}/…``, for routes of a :class:`DoorRoute`."""

    async def dependency(
        request: Request, credentials: Credentials, p: Annotated[str, Path(description="The project's id.")]
    ) -> Door:
        door = Door(request.app.state.database, _secret(credentials), p, permission)
        request.state.door = door
        return door

    return dependency


class DoorRoute(APIRoute):
    """A route behind a :class:`Door`. It opens once the input was read; bad input must not lead around it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, which looks at the caller before it says what is wrong with their input."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError:
                door: Door | None = getattr(request.state, "door", None)
                if door is not None:
                    await run_in_threadpool(door.check)
                raise

        return handler


def _secret(credentials: HTTPAuthorizationCredentials | None) -> str:
    if credentials is None:
        raise Unauthenticated()
    return credentials.credentials


Cursor = Annotated[str | None, Query(description="Where the last page ended: its `next`.", max_length=200)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Entries a page.")]


def page_start(cursor: str | None) -> int | None:
    """The id that a page starts after; None for the first page.

    Raises:
        Invalid: it is no cursor of ours.
    """
    if cursor is None:
        return None
    try:
        return parse_id(cursor)
    except NotFound:
        message = "is not a cursor; give the `next` of the page before"
        raise Invalid(f"cursor {message}.", errors=[FieldError(("query", "cursor"), message)]) from None
