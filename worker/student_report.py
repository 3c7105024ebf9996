"""The report of a round's student, as files that lie beside it: figures, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.export.bundle import measure_latency
from models.plots import draw_report
from models.reports import build_pareto
from models.students.student import Student
from winnow import registry
from winnow.db import tables
from winnow.db.tables import Round
from worker.round_data import RoundData, RoundResult

#: Items that the student is timed on: enough for a median, too few to be felt.
TIMED_ITEMS = 64
#: Versions that are set beside each other; older ones are of no interest any more.
MOST_COMPARED = 100


def measure_serving(student: Student, model: bytes, data: RoundData) -> dict[str, Any]:
    """Size and speed of a student as it is served, in fp32: ``{bytes, p50_ms, items_per_second, on}``."""
    latency = measure_latency(student, model, data.raw(data.labeled_rows[:TIMED_ITEMS]))
    return {
        "bytes": len(model),
        "p50_ms": latency.p50_ms,
        "items_per_second": latency.items_per_second,
        "on": latency.machine,
    }


def write_report(session: Session, project_id: int, result: RoundResult, costs: Mapping[str, Any], to: Path) -> None:
    """Write ``report.json`` and its pictures into a folder; the new student is compared with those before it."""
    if result.report is None:
        return
    new = _compared(registry.next_version(session, project_id), result.metrics, costs)
    report = {**result.report, "pareto": build_pareto([new, *_earlier(session, project_id)])}
    to.mkdir(parents=True, exist_ok=True)
    (to / registry.REPORT).write_text(json.dumps(report, ensure_ascii=False), "utf-8")
    for name, picture in draw_report(report).items():
        (to / f"{name}.png").write_bytes(picture)


def _earlier(session: Session, project_id: int) -> list[dict[str, Any]]:
    found = session.execute(
        select(tables.Student.version, tables.Student.metrics, Round.costs)
        .join(Round, (Round.project_id == tables.Student.project_id) & (Round.n == tables.Student.round))
        .where(tables.Student.project_id == project_id)
        .order_by(tables.Student.version.desc())
        .limit(MOST_COMPARED - 1)
    )
    return [_compared(version, metrics, costs) for version, metrics, costs in found]


def _compared(version: int, metrics: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    serving = metrics.get("serving") or {}
    return {
        "version": version,
        "accuracy": metrics.get("accuracy"),
        "p50_ms": serving.get("p50_ms"),
        "bytes": serving.get("bytes"),
        "watt_hours": costs.get("watt_hours"),
    }
