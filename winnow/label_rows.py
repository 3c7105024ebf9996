"""Reading labels: as a stream for export, and as columns to train on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from winnow.db.session import Database
from winnow.db.tables import Item, Label, Project, User

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PAGE = 2000
#: The fields of an exported row, in their order; the whole history adds ``superseded_at``.
COLUMNS = (
    "id",
    "item",
    "key",
    "label",
    "skip",
    "flag",
    "user",
    "at",
    "seconds",
    "round",
    "source",
    "split",
    "mechanism",
    "probability",
)


def stream_labels(database: Database, project_id: int, *, everything: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Pages of label rows, oldest first; no transaction is open between two pages.

    ``everything`` gives the whole history, with ``superseded_at``, and not only what stands.
    """
    after = 0
    while True:
        query = (
            select(
                Label.id,
                Label.item_id,
                Label.kind,
                Label.value,
                Label.reason,
                Label.created_at,
                Label.seconds,
                Label.round,
                Label.source,
                Label.mechanism,
                Label.probability,
                Label.superseded_at,
                Item.key,
                Item.split,
                User.email,
            )
            .join(Item, Item.id == Label.item_id)
            .outerjoin(User, User.id == Label.user_id)
            .where(Label.project_id == project_id, Label.id > after)
            .order_by(Label.id)
            .limit(_PAGE)
        )
        if not everything:
            query = query.where(Label.superseded_at.is_(None))
        with database.read() as session:
            rows = session.connection().execute(query).all()
        if not rows:
            return
        after = rows[-1].id
        yield [_export(row, everything) for row in rows]
        if len(rows) < _PAGE:
            return


def json_lines(pages: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Pages of rows as JSON lines."""
    for page in pages:
        yield "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in page)


def _export(row: Any, everything: bool) -> dict[str, Any]:
    exported = {
        "id": str(row.id),
        "item": str(row.item_id),
        "key": row.key,
        "label": row.value,
        "skip": row.kind == "skip",
        "flag": row.reason if row.kind == "flag" else None,
        "user": row.email,
        "at": rfc3339(row.created_at),
        "seconds": row.seconds,
        "round": row.round,
        "source": row.source,
        "split": row.split,
        "mechanism": row.mechanism,
        "probability": row.probability,
    }
    if everything:
        exported["superseded_at"] = None if row.superseded_at is None else rfc3339(row.superseded_at)
    return exported


def rfc3339(moment: datetime) -> str:
    """The time in UTC as RFC 3339 writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class TrainingLabels:
    """One row for each labelled item, by ascending ``number``.

    ``classes`` are indices into the project's classes: the majority where several people labelled, the earliest among
    equals. ``split`` is pool, holdout or test; ``mechanism`` and ``source`` are those of the earliest label of that
    class; ``label_ids`` the newest label of the item. ``cutoff`` is the newest label of the project that was looked at,
    0 for none.
    """

    numbers: NDArray[np.int64]
    classes: NDArray[np.int64]
    splits: list[str]
    mechanisms: list[str | None]
    sources: list[str]
    label_ids: NDArray[np.int64]
    cutoff: int

    def digest(self) -> str:
        """SHA-256 in hex: the same for as long as these labels stand as they do."""
        total = hashlib.sha256(repr((self.splits, self.mechanisms, self.sources)).encode())
        for array in (self.numbers, self.classes, self.label_ids):
            total.update(array.tobytes())
        return total.hexdigest()


def standing_for_training(session: Session, project_id: int, upto: int | None = None) -> TrainingLabels:
    """Every standing label of a project but a model's, settled to one for each item; none newer than label ``upto``."""
    import numpy as np

    project = session.get_one(Project, project_id)
    index = {str(label["name"]): position for position, label in enumerate(project.labels)}
    cutoff = upto
    if cutoff is None:
        cutoff = session.scalar(select(func.max(Label.id)).where(Label.project_id == project_id)) or 0
    query = (
        select(Item.number, Label.value, Item.split, Label.mechanism, Label.source, Label.id)
        .join(Item, Item.id == Label.item_id)
        .where(
            Label.project_id == project_id,
            Label.id <= cutoff,
            Label.superseded_at.is_(None),
            Label.kind == "label",
            Label.source != "model",
        )
        .order_by(Item.number, Label.id)
    )
    rows = [row for row in session.connection().execute(query) if row.value in index]
    settled = [_settle(list(group)) for _, group in groupby(rows, key=lambda row: row.number)]
    return TrainingLabels(
        numbers=np.array([row.number for row, _ in settled], dtype=np.int64),
        classes=np.array([index[row.value] for row, _ in settled], dtype=np.int64),
        splits=[row.split for row, _ in settled],
        mechanisms=[row.mechanism for row, _ in settled],
        sources=[row.source for row, _ in settled],
        label_ids=np.array([newest for _, newest in settled], dtype=np.int64),
        cutoff=cutoff,
    )


def _settle(rows: list[Any]) -> tuple[Any, int]:
    """The earliest row of the class with the most votes (first come among equals), and the newest id."""
    if len(rows) == 1:
        return rows[0], rows[0].id
    votes = Counter(row.value for row in rows)  # keeps the order of the first vote, and most_common keeps ties in it
    winner = votes.most_common(1)[0][0]
    return next(row for row in rows if row.value == winner), max(row.id for row in rows)
