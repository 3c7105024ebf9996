"""Row by row: is what the target gives back what it was to be?"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import zip_longest
from typing import Any

from sqlalchemy import JSON, Float, Table


@dataclass(frozen=True)
class Difference:
    """A column of a row that differs, or (``column`` is None) a row that one side lacks. ``key`` is the target's."""

    table: str
    key: tuple[Any, ...]
    column: str | None

    def __str__(self) -> str:
        where = f"{self.table} {', '.join(str(part) for part in self.key)}"
        return f"{where}: {self.column} differs" if self.column else f"{where}: only one side has it"


def differences(
    table: Table, wanted: Iterable[dict[str, Any]], found: Iterable[dict[str, Any]]
) -> Iterator[Difference]:
    """Compare two streams of rows in the order of the table's key, every column of each."""
    key = [column.name for column in table.primary_key.columns]
    columns = [(column.name, _kind(column.type)) for column in table.columns]
    for want, have in zip_longest(wanted, found):
        if want is None or have is None or any(want[name] != have[name] for name in key):
            row = want if have is None else have
            yield Difference(table.name, tuple(row[name] for name in key), None)
            return  # from here on the streams are out of step
        for name, kind in columns:
            if not same(want[name], have[name], kind):
                yield Difference(table.name, tuple(want[name] for name in key), name)


def _kind(column_type: Any) -> str:
    return "json" if isinstance(column_type, JSON) else "float" if isinstance(column_type, Float) else "plain"


def same(one: Any, other: Any, kind: str = "plain") -> bool:
    """Whether two values are the same: floats to the last bit, times to the microsecond, JSON by what it means.

    >>> same(0.3, 0.1 + 0.2, "float"), same(True, 1), same({"a": 1e23}, {"a": 10**23}, "json")
    (False, False, True)
    """
    if one is None or other is None:
        return one is other
    if kind == "json":
        return _text(one) == _text(other) or _meaning(one) == _meaning(other)
    if isinstance(one, datetime) and isinstance(other, datetime):
        return one.astimezone(UTC).isoformat() == other.astimezone(UTC).isoformat()
    if kind == "float":
        return struct.pack(">d", one + 0.0) == struct.pack(">d", other + 0.0)  # SQLite knows no negative zero
    return type(one) is type(other) and bool(one == other)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _meaning(value: Any) -> Any:
    """JSON without the order of keys and the way that numbers are written, which PostgreSQL does not keep."""
    if isinstance(value, bool) or value is None:
        return ("constant", value)
    if isinstance(value, int | float):
        return ("number", Decimal(repr(value)))
    if isinstance(value, dict):
        return {name: _meaning(part) for name, part in value.items()}
    return [_meaning(part) for part in value] if isinstance(value, list) else value
