"""Predictions."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MOST_ITEMS = 10_000


class PredictIn(BaseModel):
    """Items like those of the pool: each with one of `text`, `features` and `image` (base64), as the task says."""

    model_config = ConfigDict(extra="forbid")

    items: list[dict[str, Any]] = Field(max_length=MOST_ITEMS)
    version: int | None = Field(None, ge=1, description="A student's version; the current one when not given.")


class PredictedOut(BaseModel):
    """The most probable class, its probability, and the probability of each class."""

    label: str
    confidence: float
    probabilities: dict[str, float]


class PredictOut(BaseModel):
    """One prediction for each item, in their order, and the version that made them."""

    version: int
    predictions: list[PredictedOut]
