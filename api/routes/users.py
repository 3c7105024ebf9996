"""Accounts; the owner's business."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from api.deps import Cursor, DatabaseDep, Limit, SignedIn, global_caller, page_start
from api.schemas.user import UserCreate, UserCreated, UserList, UserOut
from winnow import users
from winnow.permissions import Permission

router = APIRouter(prefix="/users", tags=["users"])
Owner = Annotated[SignedIn, Depends(global_caller(Permission.USERS_MANAGE))]


@router.post("", status_code=201)
def create_user(body: UserCreate, owner: Owner, database: DatabaseDep) -> UserCreated:
    """Make an account. Without a password one is generated and shown once."""
    password = body.password.get_secret_value() if body.password is not None else None
    new = users.prepare_user(body.email, password, body.role)
    with database.write() as session:
        user = users.add_user(session, new)
        owner.record(session, "user.create", user=str(user.id), email=user.email, role=user.role)
    return UserCreated(**UserOut.of(user).model_dump(), password=new.generated)


@router.get("")
def list_users(owner: Owner, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> UserList:
    """All accounts, oldest first."""
    after = page_start(cursor) or 0
    with database.read() as session:
        found = users.list_users(session, after=after, limit=limit + 1)
    page = found[:limit]
    return UserList(data=[UserOut.of(user) for user in page], next=str(page[-1].id) if len(found) > limit else None)
