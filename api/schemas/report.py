"""Reports of students."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ClassFigures(BaseModel):
    """Figures of one class; null under 30 measured labels of it."""

    label: str
    labels: int
    precision: float | None
    recall: float | None
    f1: float | None


class Confused(BaseModel):
    """Two classes of which one was taken for the other, and how often."""

    true: str
    predicted: str
    labels: int


class ReliabilityBin(BaseModel):
    """Predictions whose confidence lies in (low, high], and the means over them."""

    low: float
    high: float
    labels: int
    confidence: float
    accuracy: float


class Calibration(BaseModel):
    """How far confidence holds: the expected calibration error and the bins that it comes from."""

    ece: float
    bins: list[ReliabilityBin]


class ParetoPoint(BaseModel):
    """One version among the others. ``watt_hours`` is an estimate of what its training took."""

    version: int
    accuracy: dict[str, Any]
    p50_ms: float
    bytes: int | None
    watt_hours: float | None
    on_front: bool


class Pareto(BaseModel):
    """Accuracy × latency × size × energy over the versions up to this one."""

    points: list[ParetoPoint]
    left_out: list[int]


class ReportOut(BaseModel):
    """What was measured of a student; ``note`` says what could not be, and why."""

    labels: int
    measured_on: str
    classes: list[str]
    note: str | None
    accuracy: float | None
    macro_f1: float | None
    log_loss: float | None
    brier: float | None
    confusion: list[list[int]] | None
    confused: list[Confused] | None
    per_class: list[ClassFigures] | None
    calibration: Calibration | None
    pareto: Pareto
