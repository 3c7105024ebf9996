"""Items: how they come in, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from winnow.pool import ItemView


class ItemIn(BaseModel):
    """One item: exactly one of `text`, `image` and `features`, as the project's task says."""

    key: str | None = Field(None, max_length=512, description="Your own identifier, unique in the project.")
    text: str | None = None
    image: str | None = Field(None, description="Base64 of a PNG, JPEG, GIF, WebP, BMP or TIFF file.")
    features: list[float] | None = None
    meta: dict[str, Any] | None = Field(None, description="Anything of yours, up to 16 KiB and 100 levels of JSON.")
    label: str | None = Field(None, description="A class of the project: the item is then labelled, and not served.")
    labels: list[str] | None = Field(None, description="The same as a list of one.")
    split: str | None = Field(None, description="`train`, `pool` or `test`; a row of the test split needs a label.")


class ItemsIn(BaseModel):
    """Up to 1,000 items. Each is judged by itself: a bad one is named in `rejected`, the others are kept."""

    model_config = ConfigDict(extra="forbid")

    items: list[Annotated[ItemIn, SkipValidation]] = Field(max_length=1000)


class RejectedItem(BaseModel):
    """An item that was not kept: its place in the request, and why."""

    index: int
    reason: str


class ItemsAdded(BaseModel):
    """What became of the items."""

    created: int
    duplicates: int
    rejected: list[RejectedItem]


class StandingLabelOut(BaseModel):
    """A label, skip or flag that stands on the item."""

    id: str
    label: Any | None
    skip: bool
    flag: str | None
    user: str | None
    source: str
    at: datetime


class ItemOut(BaseModel):
    """An item. One of `text`, `content_url` and `features` is set. `split` is shown to managers only.

    `labels` are all that stand for those who may read labels, and one's own for others.
    """

    id: str
    key: str | None
    text: str | None
    content_url: str | None
    features: list[float] | None
    meta: dict[str, Any] | None
    split: str | None
    status: str
    labels: list[StandingLabelOut]

    @classmethod
    def of(cls, view: ItemView, *, task: str, show_split: bool) -> ItemOut:
        """From the item and what stands on it."""
        item = view.item
        return cls(
            id=str(item.id),
            key=item.key,
            text=item.text,
            content_url=content_url(item.project_id, item.id) if task == "image" else None,
            features=view.features,
            meta=item.meta,
            split=item.split if show_split else None,
            status=view.status,
            labels=[
                StandingLabelOut(
                    id=str(label.id),
                    label=label.value,
                    skip=label.kind == "skip",
                    flag=label.reason if label.kind == "flag" else None,
                    user=label.email,
                    source=label.source,
                    at=label.at,
                )
                for label in view.labels
            ],
        )


class ItemList(BaseModel):
    """Items in the order in which they came."""

    data: list[ItemOut]
    next: str | None


def content_url(project_id: int, item_id: int) -> str:
    """Where the bytes of an item are, relative to the server."""
    return f"/v1/projects/{project_id}/items/{item_id}/content"
