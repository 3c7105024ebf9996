"""Which items are reserved for measuring, and how many of them.

An item is held out when a hash of its near-duplicate group, keyed by the project, falls below the *share*. With
``auto`` the share follows the size of the pool: a tenth, and more in a small pool, where a tenth would not reach the
wanted precision. It is decided as the pool grows: when it changes, rows that nobody has touched yet are moved, so that
the holdout is always what one import of the whole pool would have made. In a pool too small to measure anything there
is none.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, delete, exists, select, update
from sqlalchemy.orm import Session

from winnow.db.base import utcnow
from winnow.db.tables import Item, Label, Lease, Project, QueueEntry
from winnow.intake import keyed_hash
from winnow.model_labels import drop_model_labels

DEFAULT_PRECISION = 0.05
LEAST_SHARE = 0.10
LARGEST_SHARE = 0.30
#: Under this many holdout labels nothing is measurable, so nothing is reserved for fewer.
LEAST_ITEMS = 50
# Labels that a half-width of ``precision`` takes, in a confidence sequence at usual accuracies: 300 for ±5 points.
_LABELS_TIMES_SQUARE = 0.75
_FULL = 1 << 63


def holdout_precision(setting: Any) -> float:
    """The half-width of the interval that a project's ``holdout`` setting asks for."""
    return float(setting["precision"]) if isinstance(setting, dict) else DEFAULT_PRECISION


def holdout_share(setting: Any, n_pool: int) -> float:
    """The share of a pool of ``n_pool`` unlabelled items that is held out.

    >>> [round(holdout_share("auto", n), 3) for n in (100, 200, 1000, 2000, 10_000)]
    [0.0, 0.3, 0.3, 0.15, 0.1]
    """
    if setting is False or n_pool == 0:
        return 0.0
    if isinstance(setting, float):
        return setting
    needed = _LABELS_TIMES_SQUARE / holdout_precision(setting) ** 2
    share = max(LEAST_SHARE, min(LARGEST_SHARE, needed / n_pool))
    return share if share * n_pool >= LEAST_ITEMS else 0.0


def project_share(project: Project, n_pool: int) -> float:
    """The share for ``project``: none where the user's own test rows are measured on instead."""
    return 0.0 if project.n_test else holdout_share(project.settings.get("holdout", "auto"), n_pool)


class HoldoutDraw:
    """Says of near-duplicate groups whether they are held out, and of items where they stand in the random order."""

    def __init__(self, project: Project, share: float) -> None:
        self._key = project.order_key.encode()[:64]
        self._below = int(share * _FULL)

    def holds(self, group_digest: str) -> bool:
        """Whether the group is held out."""
        return self._below > 0 and keyed_hash(self._key, b"holdout", group_digest) < self._below

    def shuffle(self, digest: str, key: str | None) -> int:
        """The place of an item in the seeded random order, 0 to 2^63 - 1; its own, whatever its near-duplicates'.

        Were it the group's, a draw of one would make its near-duplicates the next draws, and none of them uniform.
        """
        return keyed_hash(self._key, b"order", digest if key is None else f"{digest} {key}")


def settle_holdout(session: Session, project: Project, n_before: int, draw: HoldoutDraw, share: float) -> None:
    """Move untouched rows into or out of the holdout after the pool grew from ``n_before`` and the share changed."""
    before = project_share(project, n_before)
    if share == before or n_before == 0 or project.n_test:
        return
    source, target = ("pool", "holdout") if share > before else ("holdout", "pool")
    untouched = (
        select(Item.id, Item.group_digest)
        .where(Item.project_id == project.id, Item.split == source, Item.is_open)
        .where(
            ~exists().where(Label.item_id == Item.id, Label.source != "model"),
            ~exists().where(Lease.item_id == Item.id),
        )
    )
    moving = [row.id for row in session.execute(untouched) if draw.holds(row.group_digest) == (target == "holdout")]
    if not moving:
        return
    connection = session.connection()
    rows = [{"moved": item_id} for item_id in moving]
    connection.execute(update(Item).where(Item.id == bindparam("moved")).values(split=target), rows)
    if target == "holdout":
        connection.execute(
            delete(QueueEntry).where(QueueEntry.project_id == project.id, QueueEntry.item_id == bindparam("moved")),
            rows,
        )
        drop_model_labels(connection, moving, utcnow())  # nothing that a model says of it may be seen any more
    project.n_open_holdout += len(moving) if target == "holdout" else -len(moving)
