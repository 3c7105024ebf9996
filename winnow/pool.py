"""The pool: reading its items, one by one, by page and by number."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, exists, func, or_, select, type_coerce
from sqlalchemy.orm import Session

from winnow.admission import AddResult, add_items
from winnow.counters import locked_project
from winnow.db.base import Json, utcnow
from winnow.db.tables import Content, Item, Label, Lease, Project, User
from winnow.errors import NotFound
from winnow.ids import parse_id
from winnow.intake import FEATURES_TYPE
from winnow.names import is_storable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    RawItem = str | bytes | NDArray[np.float32]

__all__ = [
    "AddResult",
    "ItemFilter",
    "ItemView",
    "StandingLabel",
    "add_items",
    "get_content",
    "get_item",
    "list_items",
    "locked_project",
    "parse_id",
    "raw_items",
]

Status = Literal["unlabeled", "labeled", "skipped", "flagged", "leased", "test"]
_CHUNK = 1000


@dataclass(frozen=True)
class StandingLabel:
    """A label, skip or flag that stands on an item."""

    id: int
    user_id: int | None
    email: str | None
    kind: str
    value: Any
    reason: str | None
    source: str
    at: datetime


@dataclass(frozen=True)
class ItemView:
    """An item as it is shown, with what stands on it. ``features`` is set where the project's task is features."""

    item: Item
    status: Status
    labels: list[StandingLabel]
    features: list[float] | None


@dataclass(frozen=True)
class ItemFilter:
    """Which items to list. ``viewer`` restricts what is seen of labels to those of one person."""

    status: Status | None = None
    label: str | None = None
    q: str | None = None
    viewer: int | None = None


def list_items(
    session: Session, project: Project, wanted: ItemFilter, *, after: int = 0, limit: int = 100
) -> list[ItemView]:
    """Up to ``limit`` items with an id above ``after``, in the order they came.

    ``unlabeled`` are all items without a label, skipped, flagged and leased ones included; test rows are only ``test``.
    """
    if not all(is_storable(part) for part in (wanted.label, wanted.q) if part):
        return []  # no item can hold what no database takes
    query = select(Item).where(Item.project_id == project.id, Item.id > after).order_by(Item.id).limit(limit)
    if wanted.status is not None:
        query = query.where(_status_clause(wanted.status, utcnow()))
    if wanted.label is not None:
        query = query.where(_label_clause(wanted.label, wanted.viewer))
    if wanted.q:
        query = query.where(_contains_clause(wanted.q, session.get_bind().dialect.name))
    return _views(session, project, session.scalars(query).all(), wanted.viewer)


def get_item(session: Session, project: Project, item_id: int, viewer: int | None = None) -> ItemView:
    """One item of ``project``. Raises NotFound, also for another project's."""
    item = session.get(Item, item_id)
    if item is None or item.project_id != project.id:
        raise NotFound("There is no item with this id in this project.")
    return _views(session, project, [item], viewer)[0]


def get_content(session: Session, project_id: int, item_id: int) -> tuple[str, bytes]:
    """The media type and the bytes of an item: an image as it came, a text in UTF-8, features as JSON."""
    row = session.execute(
        select(Item.text, Content.media_type, Content.data)
        .outerjoin(Content, Content.item_id == Item.id)
        .where(Item.id == item_id, Item.project_id == project_id)
    ).one_or_none()
    if row is None:
        raise NotFound("There is no item with this id in this project.")
    if row.data is None:
        return "text/plain; charset=utf-8", (row.text or "").encode()
    if row.media_type == FEATURES_TYPE:
        return "application/json", json.dumps(unpack_features(row.data)).encode()
    return row.media_type, row.data


def near_duplicates(session: Session, project_id: int, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Items of a project numbered ``start`` to ``stop`` (exclusive), each with 64 bits that only near-duplicates share.

    They stay the same as long as an item has its number.
    """
    query = select(Item.number, func.substr(Item.group_digest, 1, 16)).where(
        Item.project_id == project_id, Item.number >= start, Item.number < stop
    )
    for number, digest in session.execute(query.execution_options(yield_per=10_000)):
        yield number, int(digest, 16)


def pool_numbers(session: Session, project_id: int, below: int) -> Iterator[int]:
    """The numbers below ``below`` of the items that nothing is measured on, ascending."""
    query = select(Item.number).where(Item.project_id == project_id, Item.split == "pool", Item.number < below)
    return iter(session.scalars(query.order_by(Item.number)))


def raw_items(session: Session, project_id: int, numbers: Sequence[int]) -> list[RawItem]:
    """The inputs of the items with these numbers, in order: texts, image bytes or float32 vectors.

    A number that is no longer in use (its item was updated) gives an empty text, one grey pixel or a zero vector.
    """
    project = session.get_one(Project, project_id)
    found: dict[int, Any] = {}
    value = Item.text if project.task == "text" else Content.data
    for start in range(0, len(numbers), _CHUNK):
        chunk = [int(number) for number in numbers[start : start + _CHUNK]]
        query = select(Item.number, value).where(Item.project_id == project_id)
        if project.task != "text":
            query = query.join(Content, Content.item_id == Item.id)
        if max(chunk) - min(chunk) + 1 == len(chunk):
            query = query.where(Item.number.between(min(chunk), max(chunk)))
        else:
            query = query.where(Item.number.in_(chunk))
        found.update((number, content) for number, content in session.execute(query))
    if project.task == "text":
        return [found.get(int(number)) or "" for number in numbers]
    if project.task == "image":
        return [found.get(int(number)) or _grey_pixel() for number in numbers]
    import numpy as np

    nothing = bytes(4 * (project.feature_dim or 1))
    return [
        np.frombuffer(found.get(int(number), nothing), dtype="<f4").astype(np.float32, copy=False) for number in numbers
    ]


def unpack_features(data: bytes) -> list[float]:
    """The numbers of a little-endian float32 vector, each written as shortly as 32 bits allow."""
    values = array("f")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    return [_shortest(value) for value in values]


def features_of(session: Session, item_ids: Sequence[int]) -> dict[int, list[float]]:
    """The vectors of features items, by id."""
    rows = session.execute(select(Content.item_id, Content.data).where(Content.item_id.in_(item_ids)))
    return {item_id: unpack_features(data) for item_id, data in rows}


def _shortest(value: float) -> float:
    short = float(f"{value:.7g}")
    try:
        return short if array("f", [short])[0] == value else value
    except OverflowError:  # rounded up past the largest 32-bit float
        return value


def _grey_pixel() -> bytes:
    """The smallest greyscale PNG: it stands for an image whose number is no longer in use."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0\x80"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def _views(session: Session, project: Project, items: Sequence[Item], viewer: int | None) -> list[ItemView]:
    ids = [item.id for item in items]
    labels: dict[int, list[StandingLabel]] = {item_id: [] for item_id in ids}
    rows = session.execute(
        select(Label, User.email)
        .outerjoin(User, User.id == Label.user_id)
        .where(Label.item_id.in_(ids), Label.superseded_at.is_(None))
        .order_by(Label.id)
    )
    for row in rows:
        label: Label = row[0]
        labels[label.item_id].append(
            StandingLabel(
                id=label.id,
                user_id=label.user_id,
                email=row[1],
                kind=label.kind,
                value=label.value,
                reason=label.reason,
                source=label.source,
                at=label.created_at,
            )
        )
    leased = set(session.scalars(select(Lease.item_id).where(Lease.item_id.in_(ids), Lease.expires_at > utcnow())))
    features = features_of(session, ids) if project.task == "features" else {}
    return [
        ItemView(
            item=item,
            status=_status(item, labels[item.id], item.id in leased),
            labels=[label for label in labels[item.id] if viewer is None or label.user_id == viewer],
            features=features.get(item.id),
        )
        for item in items
    ]


def _status(item: Item, labels: Sequence[StandingLabel], leased: bool) -> Status:
    if item.split == "test":
        return "test"
    if item.standing:
        return "labeled"
    kinds = {label.kind for label in labels}
    if "flag" in kinds:
        return "flagged"
    if "skip" in kinds:
        return "skipped"
    return "leased" if leased else "unlabeled"


def _status_clause(status: Status, now: datetime) -> ColumnElement[bool]:
    if status == "test":
        return Item.split == "test"
    if status == "labeled":
        return (Item.split != "test") & (Item.standing > 0)
    if status == "unlabeled":
        return (Item.split != "test") & (Item.standing == 0)
    if status == "leased":
        return exists().where(Lease.item_id == Item.id, Lease.expires_at > now)
    kind = {"skipped": "skip", "flagged": "flag"}[status]
    return exists().where(Label.item_id == Item.id, Label.superseded_at.is_(None), Label.kind == kind)


def _label_clause(label: str, viewer: int | None) -> ColumnElement[bool]:
    clause = (
        (Label.item_id == Item.id)
        & Label.superseded_at.is_(None)
        & (Label.kind == "label")
        & (Label.value == type_coerce(label, Json))
    )
    return exists().where(clause if viewer is None else clause & (Label.user_id == viewer))


def _contains_clause(q: str, dialect: str) -> ColumnElement[bool]:
    """Whether text or key contain ``q``. Upper and lower case are one for a to z only, on every database."""
    columns: tuple[Any, ...] = (Item.text, Item.key)
    if dialect == "postgresql":  # it would fold whatever the database's locale folds; SQLite knows ASCII
        columns = tuple(column.collate("C") for column in columns)
    return or_(*(column.ilike(f"%{_escape_like(q)}%", escape="\\") for column in columns))


def _escape_like(value: str) -> str:
    return value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
