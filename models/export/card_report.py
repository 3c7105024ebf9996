"""The part of a model card that a student's report fills."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

_MOST_ROWS = 100
_WORDS = {
    "confusion": "Confusion matrix",
    "calibration": "Reliability diagram",
    "pareto": "Versions beside each other: accuracy, latency, size and energy",
}


def describe_report(report: Mapping[str, Any] | None, pictures: Collection[str], line: Callable[[str], str]) -> str:
    """Markdown: errors, classes and calibration as measured, and the pictures that lie beside the card.

    Args:
        report: What `models.reports.build_report` found; None where there is none.
        pictures: The names of the pictures that are in the bundle.
        line: Makes one safe line of a name.
    """
    if report is None:
        return "Not recorded."
    parts = []
    if report.get("brier") is not None:
        parts.append(
            f"On {report['labels']:,} labels that were not trained on: Brier score {report['brier']:.3f} (0 is "
            f"best, 2 is worst), log-loss {report['log_loss']:.3f} nats, macro-F1 {report['macro_f1']:.3f}."
        )
    if report.get("calibration"):
        parts.append(f"Expected calibration error: {report['calibration']['ece']:.3f}.")
    if report.get("note"):
        parts.append(f"{str(report['note'])[:1].upper()}{str(report['note'])[1:]}.")
    if report.get("per_class"):
        parts.append(_classes(report["per_class"], line))
    if report.get("confused"):
        pairs = "\n".join(
            f"- {line(pair['true'])} taken for {line(pair['predicted'])}: {pair['labels']:,}"
            for pair in report["confused"]
        )
        parts.append(f"Most often confused:\n\n{pairs}")
    parts += [f"![{words}]({name}.png)" for name, words in _WORDS.items() if name in pictures]
    return "\n\n".join(parts) or "Nothing is measurable yet."


def _classes(rows: list[Mapping[str, Any]], line: Callable[[str], str]) -> str:
    """A table of the classes that have labels enough for a figure, and how many have not."""
    shown = [row for row in rows if row["recall"] is not None]
    left = len(rows) - len(shown[:_MOST_ROWS])
    said = (
        f"{left} of {len(rows)} classes are not listed: a figure needs 30 measured labels of its class." if left else ""
    )
    if not shown:
        return said
    head = "| class | labels | precision | recall | F1 |\n|---|---|---|---|---|\n"
    body = "\n".join(
        f"| {line(row['label']).replace('|', '&#124;')} | {row['labels']} | {_share(row['precision'])} | "
        f"{_share(row['recall'])} | {_share(row['f1'])} |"
        for row in shown[:_MOST_ROWS]
    )
    return head + body + (f"\n\n{said}" if said else "")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
