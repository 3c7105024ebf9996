"""Labels as Parquet: typed columns, written row group by row group while they are read."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

_GROUP_ROWS = 20_000
_MOMENT = pa.timestamp("us", tz="UTC")
_TYPES = {
    "skip": pa.bool_(),
    "at": _MOMENT,
    "seconds": pa.float64(),
    "round": pa.int64(),
    "probability": pa.float64(),
    "superseded_at": _MOMENT,
}
_ALWAYS = ("id", "item", "skip", "at", "source", "split")


def label_schema(columns: Iterable[str]) -> Any:
    """The schema of a file with these columns; what is not a number, a moment or a yes is a string."""
    return pa.schema([pa.field(name, _TYPES.get(name, pa.string()), name not in _ALWAYS) for name in columns])


def parquet_pages(pages: Iterable[list[dict[str, Any]]], columns: Sequence[str]) -> Iterator[bytes]:
    """A whole file in portions: a row group for about 20,000 rows, then the footer. Without rows it has the schema.

    A file that breaks off has no footer, and no program takes it for a whole one.
    """
    schema = label_schema(columns)
    out = _Portions()
    with pq.ParquetWriter(out, schema, compression="zstd") as writer:
        for rows in _groups(pages):
            writer.write_table(pa.table([_array(rows, field) for field in schema], schema=schema))
            yield out.taken()
    yield out.taken()


class _Portions(io.RawIOBase):
    """Keeps what is written until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """All that was written since the last time."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def _groups(pages: Iterable[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    held: list[dict[str, Any]] = []
    for page in pages:
        held.extend(page)
        if len(held) >= _GROUP_ROWS:
            yield held
            held = []
    if held:
        yield held


def _array(rows: Sequence[dict[str, Any]], field: Any) -> Any:
    values = [row[field.name] for row in rows]
    if field.type == _MOMENT:
        values = [None if value is None else datetime.fromisoformat(value) for value in values]
    return pa.array(values, field.type)
