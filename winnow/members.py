"""Who may work on a project, and in which role."""

from __future__ import annotations

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from winnow.db.session import lock_project
from winnow.db.tables import Lease, Member, Project, User
from winnow.errors import Conflict, Invalid, NotFound
from winnow.permissions import PROJECT_ROLES
from winnow.users import normalize_email


def add_member(session: Session, project_id: int, email: str, role: str) -> tuple[Member, User]:
    """Give somebody a role in a project; whoever is a member already gets the new role.

    Raises:
        Invalid: nobody has this e-mail, or there is no such role.
        Conflict: the project would be left without a manager.
    """
    if role not in PROJECT_ROLES:
        raise Invalid.field("role", f"must be one of {', '.join(PROJECT_ROLES)}")
    user = session.scalar(select(User).where(User.email == normalize_email(email), User.disabled_at.is_(None)))
    if user is None:
        raise Invalid.field("email", "is nobody's here yet; the owner makes them an account first")
    lock_project(session, project_id)
    session.get_one(Project, project_id, populate_existing=True)  # it may have been purged before its lock was free
    member = session.get(Member, (project_id, user.id), populate_existing=True)
    if member is None:
        member = Member(project_id=project_id, user_id=user.id, role=role)
        session.add(member)
    elif role != "manager":
        _check_a_manager_remains(session, member)
    member.role = role
    session.flush()
    return member, user


def list_members(session: Session, project_id: int, *, after: int = 0, limit: int = 100) -> list[tuple[Member, User]]:
    """Members with their accounts in the order of user ids, those above ``after``."""
    statement = (
        select(Member, User)
        .join(User, User.id == Member.user_id)
        .where(Member.project_id == project_id, Member.user_id > after)
        .order_by(Member.user_id)
        .limit(limit)
    )
    return [(member, user) for member, user in session.execute(statement)]


def remove_member(session: Session, project_id: int, user_id: int) -> None:
    """Take somebody out of a project at once, and give back what they hold. Their labels stay.

    Raises:
        NotFound: they are no member.
        Conflict: the project would be left without a manager.
    """
    lock_project(session, project_id)
    member = session.get(Member, (project_id, user_id), populate_existing=True)
    if member is None:
        raise NotFound("This user is not a member of the project.")
    _check_a_manager_remains(session, member)
    session.delete(member)
    session.execute(delete(Lease).where(Lease.project_id == project_id, Lease.user_id == user_id))
    session.flush()


def _check_a_manager_remains(session: Session, member: Member) -> None:
    if member.role != "manager":
        return
    managers = select(func.count()).where(Member.project_id == member.project_id, Member.role == "manager")
    if (session.scalar(managers) or 0) <= 1:
        raise Conflict("This is the project's only manager. Make somebody else a manager first.")
