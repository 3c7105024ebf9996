"""CSV and TSV: records with a header, read so that one broken quote cannot swallow the file.

A record ends where its quotes are closed. One that does not close within 1,000 lines or the longest allowed record is
reported at the line where it began, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from winnow.errors import Invalid
from winnow.importing.lines import file_size, read_lines, start_of_text
from winnow.importing.rows import Position, RawRow, Wanted
from winnow.intake import CONTENT_OF_TASK, FIELDS
from winnow.label_csv import restore

MAX_RECORD_LINES = 1000
#: Column names that are understood without a mapping, in lower case; the first that is there is taken.
KNOWN_COLUMNS = {
    "text": ("text", "sentence", "content", "body", "message", "document", "comment", "review", "tweet", "question"),
    "image": ("image",),
    "features": ("features",),
    "label": ("label", "class", "category", "target"),
    "key": ("key", "id"),
    "split": ("split",),
    "meta": ("meta",),
}
_DELIMITERS = (",", ";", "\t")
csv.field_size_limit(1 << 27)  # the records are bounded before the csv module sees them


@dataclass(slots=True)
class Record:
    """A record with the line where it began, where to go on after it, and its cells, or why there are none."""

    line: int
    after: Position
    cells: list[str] | None
    error: str | None = None


def read_table(file: BinaryIO, wanted: Wanted, position: Position | None, delimiter: str | None) -> Iterator[RawRow]:
    """The rows of a table from ``position`` on; without a ``delimiter`` the header's most frequent one is taken.

    Raises:
        Invalid: there is no header, or no column that can be the item.
    """
    start = {"offset": start_of_text(file), "line": 1}
    delimiter = delimiter or _guess_delimiter(file, start, wanted)
    header = next(read_records(file, start, delimiter, wanted.max_line_bytes), None)
    if header is None:
        raise Invalid("The file has no header. Its first line must name the columns.")
    if header.cells is None:
        raise Invalid(f"The header cannot be read: {header.error}")
    columns = _Columns(header.cells, wanted)
    size = file_size(file)
    for record in read_records(file, position or header.after, delimiter, wanted.max_line_bytes):
        row, error = None, record.error
        if record.cells is not None:
            row, error = columns.row(record.cells)
        yield RawRow(record.line, row, error, record.after["offset"] / size, record.after)


def read_records(file: BinaryIO, position: Position, delimiter: str, limit: int) -> Iterator[Record]:
    """Records from ``position`` on. Blank lines are passed over."""
    where = position
    while True:
        for record in _read_until_broken(file, where, delimiter, limit):
            yield record
            where = record.after
            if record.error is not None and record.cells is None:
                break  # go on from where the record says, which may be before what was read
        else:
            return


def _read_until_broken(file: BinaryIO, where: Position, delimiter: str, limit: int) -> Iterator[Record]:
    mark = delimiter.encode()
    held: list[bytes] = []
    held_bytes = 0
    first: Position = where  # where to go on after the first line of the record
    begun = where["line"]
    for line in read_lines(file, where["offset"], where["line"], limit):
        after = {"offset": line.end, "line": line.number + 1}
        if not held:
            begun, first = line.number, after
            if line.data is None:
                yield Record(begun, after, None, f"This line is longer than {limit:,} bytes; shorten it.")
                continue
            if b'"' not in line.data:
                if line.data.strip():
                    yield _plain(line.data, begun, after, delimiter)
                continue
        if line.data is not None:
            held.append(line.data)
            held_bytes += len(line.data)
            if not _ends_in_quotes(held, mark):
                yield _quoted(held, begun, first, after, delimiter)
                held, held_bytes = [], 0
                continue
        if line.data is None or held_bytes > limit or len(held) >= MAX_RECORD_LINES:
            break
    if held:
        yield Record(begun, first, None, "A quote that opens in this row is not closed; close it, or double it.")


def _plain(data: bytes, line: int, after: Position, delimiter: str) -> Record:
    try:
        return Record(line, after, data.decode().rstrip("\r\n").split(delimiter))
    except UnicodeDecodeError:
        return Record(line, after, None, "This row is not valid UTF-8.")


def _quoted(lines: Sequence[bytes], line: int, first: Position, after: Position, delimiter: str) -> Record:
    """A record with quotes; a broken one goes on after its first line, so that it takes no other row with it."""
    try:
        text = b"".join(lines).decode()
    except UnicodeDecodeError:
        return Record(line, first, None, "This row is not valid UTF-8.")
    try:
        rows = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return Record(
            line, first, None, "The quotes in this row do not fit; quote the whole cell, double those inside."
        )
    if len(rows) != 1:
        return Record(
            line, first, None, "The quotes in this row do not fit; quote the whole cell, double those inside."
        )
    return Record(line, after, rows[0])


def _ends_in_quotes(lines: Sequence[bytes], delimiter: bytes) -> bool:
    """Whether the record is still inside a quoted cell after these lines. Only the last one is looked at anew."""
    data = lines[-1]
    quoted = len(lines) > 1  # the lines before it ended in quotes, else they would not be here
    place, at_start = 0, True
    while True:
        if quoted:
            place = data.find(b'"', place)
            if place < 0:
                return True
            if data[place + 1 : place + 2] == b'"':
                place += 2
                continue
            quoted, at_start, place = False, False, place + 1
        elif at_start and data[place : place + 1] == b'"':
            quoted, place = True, place + 1
        else:
            place = data.find(delimiter, place)
            if place < 0:
                return False
            place, at_start = place + 1, True


def _guess_delimiter(file: BinaryIO, start: Position, wanted: Wanted) -> str:
    for line in read_lines(file, start["offset"], 1, wanted.max_line_bytes):
        if line.data and line.data.strip():
            return max(_DELIMITERS, key=lambda mark: line.data.count(mark.encode()) if line.data else 0)
    return ","


class _Columns:
    """Which column is what: by the mapping, else by name; the others are meta."""

    def __init__(self, header: Sequence[str], wanted: Wanted) -> None:
        self._names = [restore(name).strip() for name in header]
        doubled = sorted({name for name in self._names if name and self._names.count(name) > 1})
        if doubled:
            raise Invalid(f"Two columns are named {doubled[0]!r}. Give every column a name of its own.")
        content = CONTENT_OF_TASK[wanted.task]
        self._fields = self._mapped(wanted.mapping)
        for field, known in KNOWN_COLUMNS.items():
            if field not in self._fields and (field not in CONTENT_OF_TASK.values() or field == content):
                self._find(field, known)
        if content not in self._fields:
            if len(self._names) != 1 or content != "text":
                columns = ", ".join(repr(name) for name in self._names[:50])
                raise Invalid(
                    f"No column is named {content}; the columns are {columns}. "
                    f'Say which one it is with mapping {{"{content}": "COLUMN"}}.'
                )
            self._fields = {"text": 0}
        taken = set(self._fields.values())
        self._others = [(place, name) for place, name in enumerate(self._names) if place not in taken]

    def _mapped(self, mapping: Mapping[str, str]) -> dict[str, int]:
        fields = {}
        for field, column in mapping.items():
            if column not in self._names:
                columns = ", ".join(repr(name) for name in self._names[:50])
                raise Invalid(f"mapping: there is no column {column!r}; the columns are {columns}.")
            fields[field] = self._names.index(column)
        return fields

    def _find(self, field: str, known: Sequence[str]) -> None:
        lowered = [name.lower() for name in self._names]
        for name in known:
            if name in lowered and lowered.index(name) not in self._fields.values():
                self._fields[field] = lowered.index(name)
                return

    def row(self, cells: list[str]) -> tuple[dict[str, Any] | None, str | None]:
        if len(cells) != len(self._names):
            return None, f"This row has {len(cells)} cells, the header has {len(self._names)}; quote cells with commas."
        row: dict[str, Any] = {}
        for field, place in self._fields.items():
            cell = restore(cells[place])
            if cell or field == "text":
                row[field] = cell
        for field in ("features", "meta", "labels"):
            if field in row:
                error = _parse_json(row, field)
                if error is not None:
                    return None, error
        others = {name or f"column {place + 1}": restore(cells[place]) for place, name in self._others if cells[place]}
        if others and isinstance(row.get("meta", {}), dict):
            row["meta"] = others | row.get("meta", {})
        return row, None


def _parse_json(row: dict[str, Any], field: str) -> str | None:
    try:
        row[field] = json.loads(row[field])
    except (ValueError, RecursionError):
        if field == "labels":
            row[field] = [row[field]]
            return None
        example = "[0.5, -1.25]" if field == "features" else '{"source": "mail"}'
        return f"{field} must be JSON, like {example}."
    return None


assert set(KNOWN_COLUMNS) <= set(FIELDS)  # noqa: S101 — both name what a row may have
