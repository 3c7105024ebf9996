"""The counters of a project, counted anew from its rows: what they must equal, whatever happened."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from winnow.db.session import lock_project
from winnow.db.tables import Item, Label, Project
from winnow.errors import NotFound


def recount(session: Session, project_id: int) -> dict[str, int]:
    """What the counters of a project should be, by name; takes its lock, so that nothing moves meanwhile.

    ``n_behind`` is only there while the project keeps it. ``wrong_items`` are items whose own columns do not say what
    stands on them: always 0.

    Raises:
        NotFound: there is no such project.
    """
    lock_project(session, project_id)
    project = session.get(Project, project_id, populate_existing=True)
    if project is None:
        raise NotFound("There is no project with this id.")
    overlap = int(project.settings["overlap"])
    is_label = and_(Label.kind == "label", Label.source != "model")
    human = and_(is_label, Label.source == "human")
    per_item = (
        select(
            Label.item_id,
            _times(is_label).label("labels"),
            _times(human).label("human"),
            _times(Label.source == "import").label("imported"),
            _times(Label.kind == "skip").label("skips"),
            _times(Label.kind == "flag").label("flags"),
            _times(and_(human, Label.id > project.behind_cutoff)).label("behind"),
        )
        .where(Label.project_id == project_id, Label.superseded_at.is_(None))
        .group_by(Label.item_id)
        .subquery()
    )
    found = {name: func.coalesce(column, 0) for name, column in per_item.c.items() if name != "item_id"}
    is_open = and_(Item.split != "test", found["imported"] == 0, found["labels"] < overlap)
    holdout = Item.split == "holdout"
    counts = {
        "n_items": func.count(),
        "next_number": func.coalesce(func.max(Item.number) + 1, 0),
        "n_open": _times(is_open),
        "n_open_holdout": _times(and_(is_open, holdout)),
        "n_labeled": _times(found["labels"] > 0),
        "n_skipped": _times(found["skips"] > 0),
        "n_flagged": _times(found["flags"] > 0),
        "n_labels": func.coalesce(func.sum(found["human"]), 0),
        "n_holdout_labels": _times(and_(holdout, found["human"] > 0)),
        "n_test": _times(Item.split == "test"),
        "n_behind": func.coalesce(func.sum(found["behind"]), 0),
        "wrong_items": _times(or_(Item.standing != found["labels"], Item.is_open != is_open)),
    }
    row = session.execute(
        select(*(column.label(name) for name, column in counts.items()))
        .select_from(Item)
        .outerjoin(per_item, per_item.c.item_id == Item.id)
        .where(Item.project_id == project_id)
    ).one()
    counted = {name: int(value) for name, value in row._mapping.items()}
    if project.behind_cutoff != project.ranked_cutoff:
        del counted["n_behind"]
    return counted


def differences(session: Session, project_id: int) -> dict[str, tuple[int, int]]:
    """The counters that are wrong, by name: what is kept, and what was counted. Empty when all is well."""
    counted = recount(session, project_id)
    project = session.get_one(Project, project_id)
    kept = {name: 0 if name == "wrong_items" else int(getattr(project, name)) for name in counted}
    return {name: (kept[name], counted[name]) for name in counted if kept[name] != counted[name]}


def _times(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
