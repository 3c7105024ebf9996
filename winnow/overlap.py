"""A changed overlap: which items still need labels is settled anew, in one transaction."""

from __future__ import annotations

from sqlalchemy import and_, case, delete, exists, func, select, update
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.tables import Item, Label, Lease, Project, QueueEntry


def settle_overlap(session: Session, project: Project) -> None:
    """Open and close the items of ``project`` as its overlap now says; its counters follow.

    Where labels and live leases together are more than a lowered overlap allows, the leases end (a label that comes
    after that is still accepted). Call it under the project's lock. One pass over the project's items.
    """
    session.flush()
    overlap = int(project.settings["overlap"])
    imported = exists().where(Label.item_id == Item.id, Label.superseded_at.is_(None), Label.source == "import")
    needs_labels = and_(Item.standing < overlap, Item.split != "test", ~imported)
    mine = Item.project_id == project.id
    session.execute(
        update(Item).where(mine, Item.is_open != needs_labels).values(is_open=needs_labels),
        execution_options={"synchronize_session": False},
    )
    _end_leases(session, project.id, overlap)
    done = select(Item.id).where(mine, ~Item.is_open)
    session.execute(
        delete(QueueEntry).where(QueueEntry.project_id == project.id, QueueEntry.item_id.in_(done)),
        execution_options={"synchronize_session": False},
    )
    held_out = func.coalesce(func.sum(case((Item.split == "holdout", 1), else_=0)), 0)
    project.n_open, project.n_open_holdout = session.execute(
        select(func.count(), held_out).where(mine, Item.is_open)
    ).one()


def _end_leases(session: Session, project_id: int, overlap: int) -> None:
    now = utcnow()
    live = (Lease.project_id == project_id) & (Lease.expires_at > now)
    held = select(Lease.item_id, func.count().label("leases")).where(live).group_by(Lease.item_id).subquery()
    crowded = select(Item.id).join(held, held.c.item_id == Item.id).where(Item.standing + held.c.leases > overlap)
    session.execute(
        update(Lease).where(live, Lease.item_id.in_(crowded)).values(expires_at=now),
        execution_options={"synchronize_session": False},
    )
