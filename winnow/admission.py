"""Adding drafts to a pool: duplicates, imported labels, the holdout, and the counters, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from winnow.chunks import chunks
from winnow.db.base import utcnow
from winnow.db.session import lock_project
from winnow.db.tables import Content, Item, Label, Lease, Project, QueueEntry
from winnow.holdout import HoldoutDraw, project_share, settle_holdout
from winnow.intake import NO_TEST_LABEL, ItemDraft, LabelUse, OnDuplicate, RowError
from winnow.model_labels import drop_model_labels

_LABEL = insert(Label)
_BY_KEY = select(Item.key, Item.id).where(
    Item.project_id == bindparam("project"), Item.key.in_(bindparam("values", expanding=True))
)
_BY_DIGEST = select(Item.digest, Item.id).where(
    Item.project_id == bindparam("project"), Item.digest.in_(bindparam("values", expanding=True))
)


@dataclass
class AddResult:
    """What became of drafts: ``rejected`` holds ``(index in the call, reason)``."""

    created: int = 0
    duplicates: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)


def add_items(
    session: Session,
    project: Project,
    drafts: Sequence[ItemDraft],
    *,
    labels: LabelUse = "use",
    on_duplicate: OnDuplicate = "skip",
    user_id: int | None = None,
) -> AddResult:
    """Add ``drafts`` to the pool of ``project``, in their order; they can be served at once.

    The same key, or without a key the same content, is a duplicate, also within one call. ``update`` takes the meta,
    the label, and (while nobody labelled or holds the item) the content of the newer row; the item then gets a new
    number, because features are never recomputed in place, and its old number stays unused. ``merge_labels`` takes the
    label where the item has none. A person's label is never replaced.
    """
    lock_project(session, project.id)
    return _Admission(session, project, labels, on_duplicate, user_id).run(drafts)


class _Admission:
    def __init__(
        self, session: Session, project: Project, labels: LabelUse, on_duplicate: OnDuplicate, user_id: int | None
    ) -> None:
        self._session = session
        self._connection = session.connection()
        self._project = project
        self._labels = labels
        self._mode = on_duplicate
        self._now = utcnow()
        self._result = AddResult()
        # What has been met: an id in the database, or a place in ``_new``, by key and by content.
        self._by_key: dict[str, int] = {}
        self._by_digest: dict[str, int] = {}
        self._new: list[ItemDraft] = []

    def run(self, drafts: Sequence[ItemDraft]) -> AddResult:
        self._find_known(drafts)
        for index, draft in enumerate(drafts):
            try:
                self._take(draft)
            except RowError as error:
                self._result.rejected.append((index, error.reason))
        self._insert()
        self._session.flush()
        return self._result

    def _find_known(self, drafts: Sequence[ItemDraft]) -> None:
        keys = {draft.key for draft in drafts if draft.key is not None}
        for chunk in chunks(sorted(keys)):
            found = self._connection.execute(_BY_KEY, {"project": self._project.id, "values": chunk})
            self._by_key.update((row.key, row.id) for row in found)
        digests = {draft.digest for draft in drafts if draft.key is None}
        for chunk in chunks(sorted(digests)):
            found = self._connection.execute(_BY_DIGEST, {"project": self._project.id, "values": chunk})
            for row in found:  # the oldest one wins
                self._by_digest[row.digest] = min(row.id, self._by_digest.get(row.digest, row.id))

    def _take(self, draft: ItemDraft) -> None:
        if self._labels == "ignore":
            if draft.split == "test":
                raise RowError(NO_TEST_LABEL)
            draft.label = None
        if draft.dim is not None:
            self._check_dim(draft.dim)
        known = self._by_digest.get(draft.digest) if draft.key is None else self._by_key.get(draft.key)
        if known is None:
            self._new.append(draft)
            place = -len(self._new)
            if draft.key is not None:
                self._by_key[draft.key] = place
            self._by_digest.setdefault(draft.digest, place)
            return
        if self._mode != "skip":
            if known < 0:
                self._merge_new(self._new[-known - 1], draft)
            else:
                self._merge_known(known, draft)
        self._result.duplicates += 1

    def _check_dim(self, dim: int) -> None:
        if self._project.feature_dim is None:
            self._project.feature_dim = dim
        elif dim != self._project.feature_dim:
            raise RowError(f"features has {dim} numbers; the items of this project have {self._project.feature_dim}.")

    def _merge_new(self, new: ItemDraft, draft: ItemDraft) -> None:
        """The first row of this call and a later one with the same identity."""
        if draft.label is not None and (new.label is None or self._mode == "update"):
            new.label, new.split = draft.label, draft.split
        if self._mode == "update":
            new.text, new.content, new.media_type, new.dim = draft.text, draft.content, draft.media_type, draft.dim
            new.digest, new.group_digest = draft.digest, draft.group_digest
            if draft.meta is not None:
                new.meta = draft.meta

    def _merge_known(self, item_id: int, draft: ItemDraft) -> None:
        item = self._session.get_one(Item, item_id)
        if self._mode == "update":
            if item.digest != draft.digest:
                self._replace_content(item, draft)
            if draft.meta is not None:
                item.meta = draft.meta
        if draft.label is not None:
            self._merge_label(item, draft)
        self._session.flush()

    def _replace_content(self, item: Item, draft: ItemDraft) -> None:
        if item.standing:
            raise RowError("This item is labelled, so its content can no longer change; add it under another key.")
        held = select(Lease.id).where(Lease.item_id == item.id, Lease.expires_at > self._now)
        if self._session.scalar(held) is not None:
            raise RowError("Somebody holds this item now, so its content cannot change; try again later.")
        item.number = self._project.next_number
        self._project.next_number += 1
        item.digest, item.group_digest = draft.digest, draft.group_digest
        item.shuffle = HoldoutDraw(self._project, 0.0).shuffle(draft.digest, item.key)
        item.text = draft.text
        if draft.content is not None:
            content = self._session.get_one(Content, item.id)
            content.data, content.media_type = draft.content, str(draft.media_type)
        drop_model_labels(self._connection, [item.id], self._now)
        self._drop_from_queue(item.id)
        # Whoever once held it saw another content: a label that comes late under their lease is not for this one.
        self._connection.execute(delete(Lease).where(Lease.item_id == item.id))

    def _merge_label(self, item: Item, draft: ItemDraft) -> None:
        standing = self._session.scalars(
            select(Label).where(
                Label.item_id == item.id,
                Label.superseded_at.is_(None),
                Label.kind == "label",
                Label.source != "model",
            )
        ).all()
        if not standing:
            self._label_known(item, draft)
            return
        imported = standing[0]
        if self._mode == "update" and imported.source == "import" and imported.value != draft.label:
            imported.superseded_at = self._now
            imported.superseded_by = self._connection.execute(
                _LABEL.returning(Label.id), self._import_label(item.id, draft.label)
            ).scalar_one()

    def _label_known(self, item: Item, draft: ItemDraft) -> None:
        """An item without a label gets the file's, and is served no more."""
        project = self._project
        drop_model_labels(self._connection, [item.id], self._now)
        self._connection.execute(_LABEL, self._import_label(item.id, draft.label))
        if item.is_open:
            project.n_open -= 1
            project.n_open_holdout -= item.split == "holdout"
        if draft.split == "test":
            project.n_test += 1
        item.split, item.standing, item.is_open = draft.split, 1, False
        project.n_labeled += 1
        self._drop_from_queue(item.id)
        self._connection.execute(
            update(Lease).where(Lease.item_id == item.id, Lease.expires_at > self._now).values(expires_at=self._now)
        )

    def _drop_from_queue(self, item_id: int) -> None:
        self._connection.execute(
            delete(QueueEntry).where(QueueEntry.project_id == self._project.id, QueueEntry.item_id == item_id)
        )

    def _insert(self) -> None:
        if not self._new:
            return
        project = self._project
        unlabeled = sum(draft.label is None for draft in self._new)
        project.n_test += sum(draft.split == "test" for draft in self._new)
        n_before = project.n_pool
        project.n_pool += unlabeled
        share = project_share(project, project.n_pool)
        draw = HoldoutDraw(project, share)
        settle_holdout(self._session, project, n_before, draw, share)
        first = project.next_number
        rows = [self._item(first + offset, draft, draw) for offset, draft in enumerate(self._new)]
        self._connection.execute(insert(Item), rows)
        project.next_number += len(rows)
        project.n_items += len(rows)
        project.n_open += unlabeled
        project.n_labeled += len(rows) - unlabeled
        project.n_open_holdout += sum(row["split"] == "holdout" for row in rows)
        self._result.created += len(rows)
        self._insert_parts(first)

    def _item(self, number: int, draft: ItemDraft, draw: HoldoutDraw) -> dict[str, Any]:
        is_open = draft.label is None
        return {
            "project_id": self._project.id,
            "number": number,
            "key": draft.key,
            "digest": draft.digest,
            "group_digest": draft.group_digest,
            "shuffle": draw.shuffle(draft.digest, draft.key),
            "split": "holdout" if is_open and draw.holds(draft.group_digest) else draft.split,
            "text": draft.text,
            "meta": draft.meta,
            "standing": 0 if is_open else 1,
            "is_open": is_open,
            "created_at": self._now,
        }

    def _insert_parts(self, first: int) -> None:
        """Contents and labels of the new items, which need the ids that the database gave them."""
        parts = [draft for draft in self._new if draft.content is not None or draft.label is not None]
        if not parts:
            return
        found = select(Item.number, Item.id).where(Item.project_id == self._project.id, Item.number >= first)
        ids = {row.number: row.id for row in self._connection.execute(found)}
        contents, labels = [], []
        for offset, draft in enumerate(self._new):
            item_id = ids[first + offset]
            if draft.content is not None:
                contents.append({"item_id": item_id, "media_type": draft.media_type, "data": draft.content})
            if draft.label is not None:
                labels.append(self._import_label(item_id, draft.label))
        if contents:
            self._connection.execute(insert(Content), contents)
        if labels:
            self._connection.execute(_LABEL, labels)

    def _import_label(self, item_id: int, value: str | None) -> dict[str, Any]:
        return {
            "project_id": self._project.id,
            "item_id": item_id,
            "user_id": None,
            "kind": "label",
            "value": value,
            "source": "import",
            "round": 0,
            "created_at": self._now,
        }
