"""The pool, page by page, as predictions of all of it are made from: what people said of an item, else its content.

A page is read in a short transaction of its own, so that a stream of any length holds none open and little in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.session import Database
from winnow.db.tables import Item, Label, Project
from winnow.errors import NotFound
from winnow.pool import raw_items

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    RawItem = str | bytes | NDArray[np.float32]

#: The fields of a row, in their order.
COLUMNS = ("item", "key", "label", "confidence", "source", "version")
#: Items of a page. Images are read whole: few at once.
PAGES = {"text": 1_000, "features": 1_000, "image": 64}


@dataclass(frozen=True)
class PoolRow:
    """An item: its id and key, and the class that people (or the file that it came with) gave it, else its content."""

    item_id: int
    key: str | None
    label: str | None
    content: RawItem | None


def pool_size(session: Session, project_id: int) -> int:
    """How many items :func:`pool_rows` gives: all but those of the project's own test set."""
    wanted = select(func.count()).where(Item.project_id == project_id, Item.split != "test")
    return session.scalar(wanted) or 0


def number_of(session: Session, project_id: int, item_id: int) -> int:
    """The number of an item; raises :class:`~winnow.errors.NotFound`."""
    number = session.scalar(select(Item.number).where(Item.id == item_id, Item.project_id == project_id))
    if number is None:
        raise NotFound("There is no item with this id in this project.")
    return number


def pool_rows(database: Database, project: Project, after: int = -1) -> Iterator[list[PoolRow]]:
    """Pages of the items with a number above ``after``, in the order in which they came, without the own test set.

    It ends with the items that ``project`` had when it was read: later ones would make it endless.
    """
    while after < project.next_number - 1:
        with database.read() as session:
            page = _page(session, project, after)
        if not page:
            return
        after = page[-1][0]
        yield [row for _, row in page]


def _page(session: Session, project: Project, after: int) -> list[tuple[int, PoolRow]]:
    found = session.execute(
        select(Item.number, Item.id, Item.key)
        .where(
            Item.project_id == project.id,
            Item.number > after,
            Item.number < project.next_number,
            Item.split != "test",
        )
        .order_by(Item.number)
        .limit(PAGES[project.task])
    ).all()
    if not found:
        return []
    said = _said(session, project.id, found[0].number, found[-1].number)
    unsaid = [row.number for row in found if row.id not in said]
    contents = dict(zip(unsaid, raw_items(session, project.id, unsaid), strict=True)) if unsaid else {}
    return [(row.number, PoolRow(row.id, row.key, said.get(row.id), contents.get(row.number))) for row in found]


def _said(session: Session, project_id: int, first: int, last: int) -> dict[int, str]:
    """The class that stands on each labelled item: the majority's, the earliest among equals. No model's."""
    votes: dict[int, list[Any]] = {}
    query = (
        select(Label.item_id, Label.value)
        .join(Item, Item.id == Label.item_id)
        .where(
            Item.project_id == project_id,
            Item.number.between(first, last),
            Label.superseded_at.is_(None),
            Label.kind == "label",
            Label.source != "model",
        )
        .order_by(Label.id)
    )
    for item_id, value in session.execute(query):
        votes.setdefault(item_id, []).append(value)
    return {item_id: Counter(values).most_common(1)[0][0] for item_id, values in votes.items()}
