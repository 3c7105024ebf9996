"""Batches and leases: items in somebody's hands."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.item import content_url
from winnow.label_rows import rfc3339
from winnow.leases import HeldItem


class BatchIn(BaseModel):
    """How many items to hold, and for how long."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=1, le=100)
    lease_seconds: float | None = Field(
        None,
        ge=1,
        le=86_400,
        description="Honoured as given; without it the project's setting holds, and at least 60 s an item.",
    )


class PredictionOut(BaseModel):
    """What the current student says of the item."""

    label: str
    confidence: float


class LeaseOut(BaseModel):
    """A lease and when it ends (RFC 3339, UTC)."""

    id: str
    expires_at: str


class BatchItemOut(BaseModel):
    """An item that the caller holds; one of `text`, `content_url` and `features` is there, as the task says.

    `score`, `reason` and `prediction` are null on items that are drawn at random.
    """

    id: str
    key: str | None
    text: str | None = None
    content_url: str | None = None
    features: list[float] | None = None
    meta: dict[str, Any] | None
    score: float | None
    reason: str | None
    prediction: PredictionOut | None
    lease: LeaseOut


class RankedBy(BaseModel):
    """The round that ranked the batch (0: none, seeded random order) and how many labels it does not know."""

    round: int
    labels_behind: int


class BatchOut(BaseModel):
    """Items in rank order; the list is empty only when nothing is left for the caller."""

    items: list[BatchItemOut]
    ranked_by: RankedBy
    remaining: int = Field(description="Items that still need labels, leased ones included.")


class HeldOut(BaseModel):
    """A live lease of the caller's, with its item."""

    id: str
    expires_at: str
    item: BatchItemOut


class HeldList(BaseModel):
    """The caller's live leases, in the order in which the items were handed out."""

    data: list[HeldOut]
    next: str | None


class UndoneOut(BaseModel):
    """The item of a label that was undone, and the caller's lease on it.

    Where others have labelled the item as often as it takes, the lease has already ended.
    """

    item: BatchItemOut
    lease: LeaseOut


def held_item(held: HeldItem, project_id: int, task: str) -> dict[str, Any]:
    """The item as its holder sees it: a :class:`BatchItemOut`, as plain values for speed."""
    shown: dict[str, Any] = {"id": str(held.item_id), "key": held.key}
    if task == "text":
        shown["text"] = held.text
    elif task == "image":
        shown["content_url"] = content_url(project_id, held.item_id)
    else:
        shown["features"] = held.features
    shown["meta"] = held.meta
    shown["score"] = held.score
    shown["reason"] = held.reason
    shown["prediction"] = None if held.label is None else {"label": held.label, "confidence": held.confidence}
    shown["lease"] = lease_out(held)
    return shown


def lease_out(held: HeldItem) -> dict[str, str]:
    """The lease of a held item: a :class:`LeaseOut`, as plain values."""
    return {"id": str(held.lease_id), "expires_at": rfc3339(held.expires_at)}
