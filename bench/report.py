"""A benchmark's result as text."""

from __future__ import annotations

from typing import Any

_WIDEST = 60


def as_text(result: dict[str, Any]) -> str:
    """Scalars one a line; a list of objects as a table."""
    lines: list[str] = []
    for name, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.extend(["", *_rows(value)])
        else:
            lines.append(f"{name.replace('_', ' ')}: {_cell(value)}")
    return "\n".join(lines).lstrip("\n")


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    header = list(rows[0])
    cells = [[name.replace("_", " ") for name in header], *([_short(row.get(name)) for name in header] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def _short(value: Any) -> str:
    cell = _cell(value)
    return cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 1]}…"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items())
    return str(value)
