"""The tables of `bench.distillation`: each arm's mean over seeds, and its gain over the default, paired by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BASE = "as it is"
_T95 = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26}
Cell = Mapping[str, Any]


def as_page(cells: Sequence[Cell], arms: Sequence[str]) -> str:
    """Markdown: a table for each set."""
    parts = []
    for name in sorted({cell["set"] for cell in cells}):
        of_set = [cell for cell in cells if cell["set"] == name]
        seeds = len({cell["seed"] for cell in of_set})
        parts += [f"### {name}", "", f"{seeds} seeds.", "", *_table(of_set, arms), ""]
    return "\n".join(parts)


def _table(cells: Sequence[Cell], arms: Sequence[str]) -> list[str]:
    lines = [
        "| arm | accuracy | gain in points, 95 % | agreement | log-loss | Brier | ECE | CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    base = {cell["seed"]: cell["accuracy"] for cell in cells if cell["arm"] == BASE}
    for arm in arms:
        own = [cell for cell in cells if cell["arm"] == arm]
        if not own:
            continue
        mean = {key: float(np.mean([cell[key] for cell in own])) for key in _KEYS}
        gains = [100 * (cell["accuracy"] - base[cell["seed"]]) for cell in own if cell["seed"] in base]
        lines.append(
            f"| {arm} | {mean['accuracy']:.4f} | {gain_text(gains) if arm != BASE else ''} | {mean['agreement']:.3f} "
            f"| {mean['log_loss']:.3f} | {mean['brier']:.3f} | {mean['ece']:.3f} | {mean['cpu_s']:.1f} |"
        )
    return lines


_KEYS = ("accuracy", "agreement", "log_loss", "brier", "ece", "cpu_s")


def gain_text(gains: Sequence[float]) -> str:
    """The mean and half the width of Student's interval: ``+0.40 ± 0.25``; a mean alone from one seed.

    >>> gain_text([1.0, 2.0, 3.0]), gain_text([0.5]), gain_text([])
    ('+2.00 ± 2.48', '+0.50', '')
    """
    if not len(gains):
        return ""
    mean = float(np.mean(gains))
    if len(gains) == 1:
        return f"{mean:+.2f}"
    half = _T95.get(len(gains) - 1, 1.96) * float(np.std(gains, ddof=1)) / np.sqrt(len(gains))
    return f"{mean:+.2f} ± {half:.2f}"
