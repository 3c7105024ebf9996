"""Students and the bundles that are made of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winnow import registry
from winnow.db.tables import Student

#: Formats that have a name already, and that a later version writes.
LATER_FORMATS = ("coreml", "tflite", "torchscript", "safetensors")


class StudentOut(BaseModel):
    """A trained student: which round made it, from what, and how good it is."""

    version: int
    round: int
    family: str
    labels: int
    metrics: dict[str, Any]
    recipe: dict[str, Any]
    current: bool
    promoted_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, student: Student, current: int | None) -> StudentOut:
        """From its row; ``current`` is the current version."""
        return cls.model_validate(registry.to_dict(student, current))


class StudentList(BaseModel):
    """A page of students, the newest first."""

    data: list[StudentOut]
    next: str | None


class ExportIn(BaseModel):
    """What the bundle should hold."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[
        "onnx-int8",
        "onnx",
        "cascade",
        "numpy",
        "openvino",
        "litert",
        "executorch",
        "huggingface",
        "training-data",
        "coreml",
        "tflite",
        "torchscript",
        "safetensors",
    ] = Field(
        "onnx-int8",
        description="`training-data` is what the student can be trained from again. "
        f"The formats {', '.join(LATER_FORMATS)} are not written yet (501).",
    )
    accuracy: float | None = Field(None, ge=0, le=1, description="Of a cascade: what it is to reach.")
    share: float | None = Field(None, ge=0, le=1, description="Of a cascade: the share that is passed on.")

    @model_validator(mode="after")
    def _one_aim_of_a_cascade(self) -> ExportIn:
        if self.format != "cascade" and (self.accuracy is not None or self.share is not None):
            raise ValueError("accuracy and share are for the format cascade only")
        if self.accuracy is not None and self.share is not None:
            raise ValueError("give accuracy or share, not both")
        return self

    def aim(self) -> dict[str, float]:
        """What of accuracy and share was given."""
        return {
            name: value for name, value in (("accuracy", self.accuracy), ("share", self.share)) if value is not None
        }
