"""A project under its lock, for what happens a thousand times a second.

Claims and label writes read the project and move its counters by one statement each. What they work on looks like a
:class:`Project` but is a plain object: nothing is tracked or flushed, :func:`save_counters` writes its counters back.
That halves what a label costs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Row, Table, bindparam, select, update
from sqlalchemy.orm import Session

from winnow.db.session import connection_of, lock_project
from winnow.db.tables import Member, Project, User
from winnow.errors import NotFound
from winnow.permissions import Permission
from winnow.projects import NO_PROJECT, checked_role
from winnow.security import hash_secret
from winnow.users import BEARER, Identity, identity_of

#: What claims, labels and undos change of a project.
COUNTERS = (
    "n_open",
    "n_open_holdout",
    "n_labeled",
    "n_skipped",
    "n_flagged",
    "n_labels",
    "n_holdout_labels",
    "n_behind",
    "behind_cutoff",
    "n_served",
)
_PROJECTS: Table = Project.metadata.tables["projects"]
#: What they read: all but the guidelines, which are long, and what only people look at.
_COLUMNS = [column for column in _PROJECTS.c if column.name not in ("guidelines", "created_by", "created_at")]
_NAMES = [column.name for column in _COLUMNS]
_READ = select(*_COLUMNS).where(_PROJECTS.c.id == bindparam("project"))
_ENTER = (
    BEARER.add_columns(Member.role.label("member_role"), *_COLUMNS)
    .outerjoin(_PROJECTS, _PROJECTS.c.id == bindparam("project"))
    .outerjoin(Member, (Member.project_id == _PROJECTS.c.id) & (Member.user_id == User.id))
)
_SAVE = (
    update(_PROJECTS)
    .where(_PROJECTS.c.id == bindparam("project"))
    .values({name: bindparam(f"now_{name}") for name in COUNTERS})
)


def locked_project(session: Session, project_id: int) -> Project:
    """The project as a member of the session, read after its lock was taken."""
    lock_project(session, project_id)
    project = session.get(Project, project_id, populate_existing=True)
    if project is None:
        raise NotFound("There is no project with this id.")
    return project


def counted_project(session: Session, project_id: int) -> Project:
    """The project, read after its lock was taken, apart from the session: only its counters are ever written back."""
    lock_project(session, project_id)
    row = connection_of(session).execute(_READ, {"project": project_id}).one_or_none()
    if row is None:
        raise NotFound("There is no project with this id.")
    return _plain(row)


def entered_project(session: Session, secret: str, project_id: int, permission: Permission) -> tuple[Identity, Project]:
    """:func:`counted_project` for whoever bears the token ``secret`` and holds ``permission`` there: one statement.

    It reads the token anew, under the lock: whoever was signed out or shown the door before changes nothing any more.

    Raises:
        Unauthenticated: nobody bears this token.
        NotFound, Forbidden: as :func:`winnow.projects.member_role`.
    """
    lock_project(session, project_id)
    parameters = {"hash": hash_secret(secret), "project": project_id}
    row = connection_of(session).execute(_ENTER, parameters).one_or_none()
    identity = identity_of(row)
    if row is None or row.id is None:
        raise NotFound(NO_PROJECT)
    checked_role(identity, row.member_role, permission, archived=row.archived_at is not None)
    return identity, _plain(row)


def _plain(row: Row[*tuple[Any, ...]]) -> Project:
    return cast(Project, SimpleNamespace(**dict(zip(_NAMES, row[-len(_NAMES) :], strict=True))))


def save_counters(session: Session, project: Project) -> None:
    """Write the counters of ``project`` back, whichever of the two ways it was read."""
    if type(project) is Project:
        session.flush()
        return
    values = {f"now_{name}": getattr(project, name) for name in COUNTERS}
    connection_of(session).execute(_SAVE, {"project": project.id, **values})
