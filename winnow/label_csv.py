"""Labels as CSV: formulas neutralised so that a spreadsheet runs none, and reversibly, so that an import undoes it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What spreadsheets take for a formula, behind any apostrophes that are there already.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NEUTRALISED = re.compile(r"'+[=+\-@\t\r]")


def neutralise(cell: str) -> str:
    """Put an apostrophe in front of what a spreadsheet would run.

    >>> neutralise("=1+1"), neutralise("'=x"), neutralise("plain")
    ("'=1+1", "''=x", 'plain')
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def restore(cell: str) -> str:
    """Undo :func:`neutralise`.

    >>> restore("'=1+1"), restore("''=x"), restore("'quoted'")
    ('=1+1', "'=x", "'quoted'")
    """
    return cell[1:] if _NEUTRALISED.match(cell) else cell


def csv_pages(pages: Iterable[list[dict[str, Any]]], columns: Iterable[str], *, raw: bool = False) -> Iterator[str]:
    """The header, then each page of rows as CSV. ``raw`` leaves formulas as they are."""
    names = list(columns)
    yield _lines([names])
    for page in pages:
        yield _lines([[_cell(row, name, raw) for name in names] for row in page])


def _cell(row: Mapping[str, Any], name: str, raw: bool) -> str:
    value = row[name]
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value if raw else neutralise(value)
    return str(value)


def _lines(rows: Iterable[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
