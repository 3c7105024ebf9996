"""Labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SkipValidation


class LabelIn(BaseModel):
    """What somebody says of an item: exactly one of `label`, `labels`, `skip` and `flag`."""

    item: str
    label: str | None = Field(None, description="A class of the project.")
    labels: list[str] | None = Field(None, description="The same as a list of one.")
    skip: bool | None = Field(None, description="`true`: not mine to answer; the item goes to others.")
    flag: str | None = Field(None, description="What is wrong with the item; it goes to others.")
    lease: str | None = None
    seconds: float | None = Field(None, ge=0, description="How long it took.")
    request_id: str | None = Field(None, max_length=200, description="The same again returns the first answer.")


class LabelsIn(BaseModel):
    """Up to 1,000 labels. Each is judged by itself: a bad one is named in `rejected`, the others stand."""

    model_config = ConfigDict(extra="forbid")

    labels: list[Annotated[LabelIn, SkipValidation]] = Field(max_length=1000)


class AcceptedLabel(BaseModel):
    """A label that stands: its item and its own id."""

    item: str
    id: str


class RejectedLabel(BaseModel):
    """A label that was not taken: the item as it was given, and why."""

    item: str | None
    reason: str


class LabelsWritten(BaseModel):
    """What became of the labels."""

    accepted: list[AcceptedLabel]
    rejected: list[RejectedLabel]
