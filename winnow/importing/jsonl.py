"""JSONL: one object a line. Fields that are not ours go to meta."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from winnow.importing.lines import file_size, read_lines, start_of_text
from winnow.importing.rows import Position, RawRow, Wanted
from winnow.intake import FIELDS


def read_jsonl(file: BinaryIO, wanted: Wanted, position: Position | None) -> Iterator[RawRow]:
    """The rows of a JSONL file, from ``position`` on. Blank lines are passed over."""
    first = start_of_text(file)
    size = file_size(file)
    where = position or {"offset": first, "line": 1}
    for line in read_lines(file, where["offset"], where["line"], wanted.max_line_bytes):
        row, error = None, None
        if line.data is None:
            error = f"This line is longer than {wanted.max_line_bytes:,} bytes; shorten it."
        elif not line.data.strip():
            continue
        else:
            row, error = _parse(line.data, wanted.mapping)
        yield RawRow(line.number, row, error, line.end / size, {"offset": line.end, "line": line.number + 1})


def _parse(data: bytes, mapping: Mapping[str, str]) -> tuple[dict[str, Any] | None, str | None]:
    try:
        found = json.loads(data.decode())
    except UnicodeDecodeError:
        return None, "This line is not valid UTF-8."
    except json.JSONDecodeError as error:
        return None, f"This line is not valid JSON: {error.msg} at character {error.pos + 1}."
    except (ValueError, RecursionError):
        return None, "This line is not JSON that can be read: a number or the nesting is too large."
    if not isinstance(found, dict):
        return None, "This line must be a JSON object."
    return _arrange(found, mapping)


def _arrange(found: dict[str, Any], mapping: Mapping[str, str]) -> tuple[dict[str, Any] | None, str | None]:
    if not mapping and found.keys() <= _FIELDS:
        return found, None
    columns = {field: mapping.get(field, field) for field in FIELDS}
    row = {field: found[column] for field, column in columns.items() if column in found}
    used = set(columns.values())
    others = {name: value for name, value in found.items() if name not in used}
    meta = row.get("meta")
    if others and (meta is None or isinstance(meta, dict)):
        row["meta"] = others | (meta or {})
    return row, None


_FIELDS = frozenset(FIELDS)
