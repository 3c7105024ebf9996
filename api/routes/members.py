"""Who may work on a project."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from api.deps import Caller, Cursor, DatabaseDep, Limit, page_start, project_caller
from api.schemas.project import MemberAdd, MemberList, MemberOut
from winnow import members
from winnow.ids import parse_id
from winnow.permissions import Permission

router = APIRouter(prefix="/projects/{p}/members", tags=["members"])
Manager = Annotated[Caller, Depends(project_caller(Permission.MEMBERS_MANAGE))]


@router.post("", status_code=201)
def add_member(body: MemberAdd, caller: Manager, database: DatabaseDep) -> MemberOut:
    """Give somebody with an account a role here; a member already gets the new role."""
    with database.write() as session:
        member, user = members.add_member(session, caller.project_id, body.email, body.role)
        caller.record(session, "member.add", user=str(user.id), role=member.role)
        return MemberOut.of(member, user)


@router.get("")
def list_members(caller: Manager, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 100) -> MemberList:
    """The members of a project and their roles."""
    after = page_start(cursor) or 0
    with database.read() as session:
        found = members.list_members(session, caller.project_id, after=after, limit=limit + 1)
        page = [MemberOut.of(member, user) for member, user in found[:limit]]
    return MemberList(data=page, next=page[-1].id if len(found) > limit else None)


@router.delete("/{user}", status_code=204)
def remove_member(user: str, caller: Manager, database: DatabaseDep) -> Response:
    """Take somebody out at once, and give back what they hold. Their labels stay."""
    with database.write() as session:
        members.remove_member(session, caller.project_id, parse_id(user, "member"))
        caller.record(session, "member.remove", user=user)
    return Response(status_code=204)
