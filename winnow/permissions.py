"""Who may do what: permissions, and the roles that hold them."""

from __future__ import annotations

from enum import StrEnum


class Permission(StrEnum):
    """One thing that a route needs its caller to be allowed to do."""

    PROJECT_READ = "project.read"
    PROJECT_MANAGE = "project.manage"
    MEMBERS_MANAGE = "members.manage"
    ITEMS_READ = "items.read"
    ITEMS_WRITE = "items.write"
    LABEL = "label"
    LABELS_READ = "labels.read"
    ROUNDS_READ = "rounds.read"
    ROUNDS_RUN = "rounds.run"
    STUDENTS_READ = "students.read"
    STUDENTS_MANAGE = "students.manage"
    EXPORT = "export"
    PREDICT = "predict"
    STATS_READ = "stats.read"
    JOBS_READ = "jobs.read"
    PROJECT_CREATE = "project.create"
    USERS_MANAGE = "users.manage"


GLOBAL_ROLES = ("owner", "admin", "member")
PROJECT_ROLES = ("manager", "annotator", "viewer")

_GLOBAL_ONLY = frozenset({Permission.PROJECT_CREATE, Permission.USERS_MANAGE})

_OF_PROJECT_ROLE: dict[str, frozenset[Permission]] = {
    "manager": frozenset(Permission) - _GLOBAL_ONLY,
    "annotator": frozenset(
        {
            Permission.PROJECT_READ,
            Permission.ITEMS_READ,
            Permission.LABEL,
            Permission.STATS_READ,
            Permission.ROUNDS_READ,
            Permission.STUDENTS_READ,
            Permission.JOBS_READ,
            Permission.PREDICT,
        }
    ),
    "viewer": frozenset({p for p in Permission if p.endswith(".read")} | {Permission.PREDICT, Permission.EXPORT}),
}

_OF_GLOBAL_ROLE: dict[str, frozenset[Permission]] = {
    "owner": frozenset({Permission.PROJECT_CREATE, Permission.USERS_MANAGE}),
    "admin": frozenset({Permission.PROJECT_CREATE}),
    "member": frozenset({Permission.PROJECT_CREATE}),
}


def project_role(global_role: str, member_role: str | None) -> str | None:
    """The role that somebody acts in: owners and admins are managers everywhere; None for a stranger."""
    return "manager" if global_role in ("owner", "admin") else member_role


def role_allows(role: str, permission: Permission) -> bool:
    """Whether a role in a project (manager, annotator, viewer) holds ``permission``."""
    return permission in _OF_PROJECT_ROLE.get(role, frozenset())


def global_role_allows(role: str, permission: Permission) -> bool:
    """Whether a role in the service (owner, admin, member) holds a permission that concerns no project."""
    return permission in _OF_GLOBAL_ROLE.get(role, frozenset())
