"""Projects: making, finding, changing, archiving and purging them, and who has access."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.session import lock_project
from winnow.db.tables import (
    Label,
    Lease,
    Member,
    Project,
)
from winnow.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from winnow.hub_encoders import HubEntry
from winnow.jobs import request_encode
from winnow.label_classes import complete_classes
from winnow.llm_endpoints import LlmEndpoint
from winnow.names import check_name, check_text
from winnow.overlap import settle_overlap
from winnow.permissions import Permission, project_role, role_allows
from winnow.project_settings import TASKS, default_settings, validate_settings
from winnow.users import Identity

__all__ = [
    "NO_PROJECT",
    "Access",
    "access",
    "archive_project",
    "checked_role",
    "class_names",
    "create_project",
    "default_settings",
    "list_projects",
    "member_role",
    "unarchived",
    "update_project",
    "validate_settings",
]

LONGEST_GUIDELINES = 50_000


@dataclass(frozen=True)
class Access:
    """A project, and the role in which somebody may act on it."""

    project: Project
    role: str
    identity: Identity


def member_role(session: Session, identity: Identity, project_id: int, permission: Permission) -> str:
    """The role in which ``identity`` may use ``permission`` in a project. One statement.

    Raises:
        NotFound: there is no such project, or none that they may know of. An archived project is there only for those
            who manage it.
        Forbidden: their role does not hold the permission.
    """
    row = session.connection().execute(_ROLE, {"project": project_id, "user": identity.user_id}).one_or_none()
    if row is None:
        raise NotFound(NO_PROJECT)
    return checked_role(identity, row.role, permission, archived=row.archived_at is not None)


def access(session: Session, identity: Identity, project_id: int, permission: Permission) -> Access:
    """The project and the role in which ``identity`` may use ``permission`` on it. One statement.

    Raises:
        NotFound, Forbidden: as :func:`member_role`.
    """
    row = session.execute(_ACCESS, {"project": project_id, "user": identity.user_id}).one_or_none()
    if row is None:
        raise NotFound(NO_PROJECT)
    project: Project = row[0]
    role = checked_role(identity, row[1], permission, archived=project.archived_at is not None)
    return Access(project, role, identity)


def unarchived(session: Session, project_id: int | None) -> Project:
    """The project that a job works on.

    Raises:
        NotFound: it was archived meanwhile, or is gone.
    """
    project = None if project_id is None else session.get(Project, project_id)
    if project is None or project.archived_at is not None:
        raise NotFound("The project was archived.")
    return project


def create_project(
    session: Session,
    identity: Identity,
    *,
    name: str,
    task: str,
    labels: Sequence[str | Mapping[str, Any]],
    guidelines: str = "",
    settings: Mapping[str, Any] | None = None,
    hub: Mapping[str, HubEntry] | None = None,
    teachers: Sequence[str] = (),
    llm: Mapping[str, LlmEndpoint] | None = None,
) -> Project:
    """Make a project with ``identity`` as its manager.

    ``hub`` has the encoders that the operator registered, ``teachers`` the names of the registered teachers, ``llm``
    the language models.

    Raises:
        Invalid: a field cannot be used; ``errors`` says which.
    """
    if task not in TASKS:
        raise Invalid.field("task", f"must be one of {', '.join(TASKS)}")
    project = Project(
        name=_checked_name(name),
        task=task,
        labels=complete_classes(labels),
        guidelines=_checked_guidelines(guidelines),
        settings=validate_settings(settings or {}, task, hub=hub, teachers=teachers, llm=llm),
        order_key=secrets.token_hex(32),
        created_by=identity.user_id,
    )
    session.add(project)
    session.flush()
    session.add(Member(project_id=project.id, user_id=identity.user_id, role="manager"))
    session.flush()
    return project


def update_project(
    session: Session,
    project_id: int,
    *,
    name: str | None = None,
    labels: Sequence[str | Mapping[str, Any]] | None = None,
    guidelines: str | None = None,
    settings: Mapping[str, Any] | None = None,
    archived: bool | None = None,
    hub: Mapping[str, HubEntry] | None = None,
    teachers: Sequence[str] = (),
    llm: Mapping[str, LlmEndpoint] | None = None,
) -> Project:
    """Change what is given of a project; ``settings`` are laid over the present ones. The rest as in `create_project`.

    Another ``encoder`` encodes all items anew; a round follows.

    Raises:
        Invalid: a field cannot be used.
        Conflict: a class with labels would go.
    """
    lock_project(session, project_id)
    project = session.get_one(Project, project_id, populate_existing=True)
    if name is not None:
        project.name = _checked_name(name)
    if guidelines is not None:
        project.guidelines = _checked_guidelines(guidelines)
    if labels is not None:
        classes = complete_classes(labels)
        _check_no_class_in_use_goes(session, project, {c["name"] for c in classes})
        project.labels = list(classes)
    if settings is not None:
        complete = validate_settings(settings, project.task, project.settings, hub, teachers, llm)
        before, project.settings = project.settings, complete
        if complete["overlap"] != before["overlap"]:
            settle_overlap(session, project)
        if complete["encoder"] != before["encoder"] and project.next_number and project.archived_at is None:
            request_encode(session, project.id)
    if archived is not None:
        project.archived_at = (project.archived_at or utcnow()) if archived else None
    session.flush()
    return project


def list_projects(session: Session, identity: Identity, *, before: int | None = None, limit: int = 50) -> list[Access]:
    """What ``identity`` may see, without what is archived: newest first, ids below ``before``."""
    statement = (
        select(Project, Member.role)
        .outerjoin(Member, (Member.project_id == Project.id) & (Member.user_id == identity.user_id))
        .where(Project.archived_at.is_(None))
        .order_by(Project.id.desc())
        .limit(limit)
    )
    if before is not None:
        statement = statement.where(Project.id < before)
    if project_role(identity.role, None) is None:
        statement = statement.where(Member.role.is_not(None))
    return [
        Access(project, project_role(identity.role, role) or "", identity)
        for project, role in session.execute(statement)
    ]


def archive_project(session: Session, project_id: int, confirm: str) -> Project:
    """Put a project away: nobody but its managers sees it, and nothing is served from it.

    Raises:
        Invalid: ``confirm`` is not the project's name.
    """
    lock_project(session, project_id)
    project = session.get_one(Project, project_id)
    if confirm != project.name:
        message = "must be the name of the project, letter for letter"
        raise Invalid(f"confirm {message}.", errors=[FieldError(("query", "confirm"), message)])
    now = utcnow()
    project.archived_at = project.archived_at or now
    # Ended, not deleted: where the project is restored, a label that comes late still knows what drew its item.
    live = update(Lease).where(Lease.project_id == project_id, Lease.expires_at > now)
    session.execute(live.values(expires_at=now), execution_options={"synchronize_session": False})
    session.flush()
    return project


def class_names(project: Project) -> list[str]:
    """The names of the project's classes, in their order."""
    return [entry["name"] for entry in project.labels]


NO_PROJECT = "There is no project with this id, or none that you may know of."
_MEMBERSHIP = (Member.project_id == Project.id) & (Member.user_id == bindparam("user"))
_ROLE = (select(Member.role, Project.archived_at).select_from(Project).outerjoin(Member, _MEMBERSHIP)).where(
    Project.id == bindparam("project")
)
_ACCESS = select(Project, Member.role).outerjoin(Member, _MEMBERSHIP).where(Project.id == bindparam("project"))


def checked_role(identity: Identity, member: str | None, permission: Permission, *, archived: bool) -> str:
    """The role of ``identity`` in a project that has them as ``member``; raises what :func:`member_role` does."""
    role = project_role(identity.role, member)
    if role is None:
        raise NotFound(NO_PROJECT)
    if archived and not role_allows(role, Permission.PROJECT_MANAGE):
        raise NotFound(NO_PROJECT)
    if archived and permission not in (Permission.PROJECT_MANAGE, Permission.PROJECT_READ):
        raise NotFound('This project is archived. Restore it with PATCH {"archived": false} first.')
    if not role_allows(role, permission):
        raise Forbidden(f"Your role here, {role}, does not allow {permission.value}. Ask a manager of the project.")
    return role


def _checked_name(name: str) -> str:
    try:
        return check_name(name)
    except ValueError as error:
        raise Invalid.field("name", str(error)) from None


def _checked_guidelines(guidelines: str) -> str:
    try:
        return check_text(guidelines, LONGEST_GUIDELINES)
    except ValueError as error:
        raise Invalid.field("guidelines", str(error)) from None


def _check_no_class_in_use_goes(session: Session, project: Project, kept: set[str]) -> None:
    gone = set(class_names(project)) - kept
    if not gone:
        return
    values = session.scalars(
        select(Label.value)
        .where(Label.project_id == project.id, Label.superseded_at.is_(None), Label.kind == "label")
        .distinct()
    )
    used = {name for value in values for name in ([value] if isinstance(value, str) else value or [])}
    if gone & used:
        names = ", ".join(sorted(gone & used))
        raise Conflict(f"These classes have labels and cannot go: {names}. Change or undo those labels first.")
