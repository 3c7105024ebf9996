"""A project under its lock, for what happens a thousand times a second.

Claims and label writes read the project and move its counters by one statement each. What they work on looks like a
:class:`Project` but is a plain object: nothing is tracked or flushed, :func:`save_counters` writes its counters back.
That halves what a label costs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from sqlalchemy import Table, bindparam, select, update
from sqlalchemy.orm import Session

from winnow.db.session import lock_project
from winnow.db.tables import Project
from winnow.errors import NotFound

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
_READ = select(_PROJECTS).where(_PROJECTS.c.id == bindparam("project"))
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
    row = session.connection().execute(_READ, {"project": project_id}).one_or_none()
    if row is None:
        raise NotFound("There is no project with this id.")
    return cast(Project, SimpleNamespace(**row._mapping))


def save_counters(session: Session, project: Project) -> None:
    """Write the counters of ``project`` back, whichever of the two ways it was read."""
    if type(project) is Project:
        session.flush()
        return
    values = {f"now_{name}": getattr(project, name) for name in COUNTERS}
    session.connection().execute(_SAVE, {"project": project.id, **values})
