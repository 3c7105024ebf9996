"""Items: adding, listing and showing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Response

from api.deps import Caller, Cursor, DatabaseDep, Limit, SettingsDep, page_start, project_caller
from api.schemas.item import ItemList, ItemOut, ItemsAdded, ItemsIn, RejectedItem
from winnow import jobs, pool
from winnow.db.tables import Project
from winnow.intake import FIELDS, ItemDraft, LabelUse, OnDuplicate, RowError, RowReader
from winnow.permissions import Permission, role_allows

router = APIRouter(prefix="/projects/{p}/items", tags=["items"])
Reader = Annotated[Caller, Depends(project_caller(Permission.ITEMS_READ))]
Writer = Annotated[Caller, Depends(project_caller(Permission.ITEMS_WRITE))]
Status = Literal["unlabeled", "labeled", "skipped", "flagged", "leased", "test"]
UseLabels = Annotated[LabelUse, Query(description="`ignore`: labels in the rows are not looked at.")]
Duplicates = Annotated[OnDuplicate, Query(description="What a known key, or without a key a known content, does.")]


@router.post("", status_code=201)
def add_items(
    body: ItemsIn,
    caller: Writer,
    database: DatabaseDep,
    settings: SettingsDep,
    labels: UseLabels = "use",
    on_duplicate: Duplicates = "skip",
) -> ItemsAdded:
    """Add up to 1,000 items; they can be served at once."""
    with database.read() as session:
        reader = RowReader(session.get_one(Project, caller.project_id), settings, labels)
    drafts: list[ItemDraft] = []
    indices: list[int] = []
    rejected: list[RejectedItem] = []
    for index, row in enumerate(body.items):
        try:
            drafts.append(_draft(reader, row))
            indices.append(index)
        except RowError as error:
            rejected.append(RejectedItem(index=index, reason=error.reason))
    with database.write() as session:
        project = pool.locked_project(session, caller.project_id)
        result = pool.add_items(
            session, project, drafts, labels=labels, on_duplicate=on_duplicate, user_id=caller.identity.user_id
        )
        if result.created or (result.duplicates and on_duplicate != "skip"):
            jobs.request_encode(session, project.id)
        caller.record(session, "items.add", created=result.created, duplicates=result.duplicates)
    rejected += [RejectedItem(index=indices[place], reason=reason) for place, reason in result.rejected]
    rejected.sort(key=lambda entry: entry.index)
    return ItemsAdded(created=result.created, duplicates=result.duplicates, rejected=rejected)


@router.get("")
def list_items(
    caller: Reader,
    database: DatabaseDep,
    status: Annotated[Status | None, Query(description="`unlabeled`: all without a label, skipped ones too.")] = None,
    label: Annotated[str | None, Query(description="Those with this class standing on them.", max_length=200)] = None,
    q: Annotated[str | None, Query(description="A part of the text or the key.", max_length=1000)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ItemList:
    """The items of a pool, page by page, in the order in which they came."""
    wanted = pool.ItemFilter(status=status, label=label, q=q, viewer=_viewer(caller))
    after = page_start(cursor) or 0
    with database.read() as session:
        project = session.get_one(Project, caller.project_id)
        found = pool.list_items(session, project, wanted, after=after, limit=limit + 1)
    page = [_shown(view, project, caller) for view in found[:limit]]
    return ItemList(data=page, next=page[-1].id if len(found) > limit else None)


@router.get("/{i}")
def get_item(i: str, caller: Reader, database: DatabaseDep) -> ItemOut:
    """One item with what stands on it."""
    item_id = pool.parse_id(i, "item")
    with database.read() as session:
        project = session.get_one(Project, caller.project_id)
        view = pool.get_item(session, project, item_id, _viewer(caller))
    return _shown(view, project, caller)


@router.get("/{i}/content", response_class=Response, responses={200: {"description": "The bytes of the item."}})
def get_content(i: str, caller: Reader, database: DatabaseDep) -> Response:
    """An image as it was given, a text in UTF-8, features as a JSON list."""
    item_id = pool.parse_id(i, "item")
    with database.read() as session:
        media_type, data = pool.get_content(session, caller.project_id, item_id)
    is_image = media_type.startswith("image/")
    headers = {
        "Content-Disposition": "inline" if is_image else "attachment",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        # An image never changes under its item's id but by on_duplicate=update, which nobody may have seen labelled.
        "Cache-Control": "private, max-age=86400, immutable" if is_image else "private, no-store",
    }
    return Response(data, media_type=media_type, headers=headers)


def _draft(reader: RowReader, row: Any) -> ItemDraft:
    if not isinstance(row, Mapping):
        raise RowError("An item must be an object.")
    unknown = [str(name) for name in row if name not in FIELDS]
    if unknown:
        raise RowError(f"{unknown[0][:40]!r} is no field of an item; put what is your own under meta.")
    return reader.draft(row)


def _viewer(caller: Caller) -> int | None:
    """Whose labels the caller sees: everybody's (None), or only their own."""
    return None if role_allows(caller.role, Permission.LABELS_READ) else caller.identity.user_id


def _shown(view: pool.ItemView, project: Project, caller: Caller) -> ItemOut:
    return ItemOut.of(view, task=project.task, show_split=caller.role == "manager")
