"""The report of the current student: what was measured of it, in figures and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from client.errors import ProblemError
from ui.escaping import escape
from ui.session import Visitor

_PICTURES = {
    "confusion": ("confusion", "Which classes are taken for which: each row is a true class."),
    "calibration": ("calibration", "How often predictions of like confidence are right; on the line they hold."),
    "pareto": ("pareto", "All versions: an orange ring marks those that no other one beats in everything."),
}
_ROWS_SHOWN = 100


def show_report(visitor: Visitor, project: Project) -> None:
    """Show what was measured of the current student, and what could not be yet."""
    with st.expander("What was measured of it"):
        try:
            report = visitor.client.student_report(project.id)
        except ProblemError as problem:
            if problem.status != 404:
                raise
            st.caption("This student has no report. The next round makes one.")
            return
        if report.get("note"):
            st.caption(escape(str(report["note"]).capitalize()) + ".")
        if report.get("brier") is not None:
            st.markdown(_figures(report))
        for name, (field, words) in _PICTURES.items():
            measured = report.get(field)
            if measured and (field != "pareto" or measured.get("points")):
                st.image(visitor.client.report_picture(project.id, "current", name), caption=words)
        if rows := [_row(entry) for entry in report.get("per_class") or []]:
            st.table(rows[:_ROWS_SHOWN], border="horizontal", hide_index=True)


def _figures(report: Mapping[str, Any]) -> str:
    parts = [
        f"{report['labels']:,} labels of the {escape(str(report['measured_on']))}",
        f"macro-F1 {report['macro_f1']:.3f}",
        f"Brier score {report['brier']:.3f}",
        f"log-loss {report['log_loss']:.3f}",
    ]
    if report.get("calibration"):
        parts.append(f"calibration error {report['calibration']['ece']:.3f}")
    return " · ".join(parts)


def _row(entry: Mapping[str, Any]) -> dict[str, str]:
    return {
        "Class": escape(str(entry["label"])),
        "Labels": f"{entry['labels']:,}",
        **{
            title: "—" if entry[name] is None else f"{entry[name]:.3f}"
            for title, name in {"Precision": "precision", "Recall": "recall", "F1": "f1"}.items()
        },
    }
