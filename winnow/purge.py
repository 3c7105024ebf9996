"""The end of archived projects: their rows, step by step, and then their files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, delete, select
from sqlalchemy.orm import Session

from winnow.db.session import Database, lock_project
from winnow.db.tables import Item, Label, LabelRequest, Lease, Project, QueueEntry
from winnow.leftovers import uploads_of
from winnow.storage import Storage, project_prefix

PURGE_AFTER = timedelta(days=30)
_AT_ONCE = 2_000


def expired_projects(session: Session, now: datetime) -> list[int]:
    """The projects that were archived 30 days ago or earlier: due for a purge."""
    return list(session.scalars(select(Project.id).where(Project.archived_at <= now - PURGE_AFTER)))


def purge_step(session: Session, project_id: int) -> bool:
    """Delete some of a project's rows for good; True once only its own row is left, and what hangs on that."""
    lock_project(session, project_id)
    for table in (QueueEntry, Lease):
        session.execute(delete(table).where(table.project_id == project_id))
    for rows in (LabelRequest, Label, Item):
        some = select(rows.id).where(rows.project_id == project_id).limit(_AT_ONCE).scalar_subquery()
        deleted = cast(CursorResult[Any], session.execute(delete(rows).where(rows.id.in_(some))))
        if deleted.rowcount:
            return False
    return True


def forget_project(session: Session, project_id: int) -> None:
    """Delete the project's own row: the last step, as whoever comes after it finds nothing to purge any more."""
    lock_project(session, project_id)
    session.execute(delete(Project).where(Project.id == project_id))


def purge_project(database: Database, storage: Storage, project_id: int) -> None:
    """Delete an archived project for good.

    In short transactions, so that a large pool does not keep others from writing. Cut short anywhere, it goes on when
    it is called again; a job that still runs finds its row gone and publishes nothing.
    """
    left = True
    while left:
        with database.write() as session:
            left = not purge_step(session, project_id)
    storage.delete(uploads_of(project_id))
    storage.delete(project_prefix(project_id))
    with database.write() as session:
        forget_project(session, project_id)
