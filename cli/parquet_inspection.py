"""What a Parquet file is, from its schema and the values of its labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from cli.errors import CommandError
from cli.inspection import LABEL_COLUMNS, SAMPLE_ROWS, FilePlan, seen, text_column
from winnow.errors import Invalid
from winnow.importing.parquet_columns import Columns, Options, class_names, fits

_TASKS = ("text", "image", "features")


def inspect_parquet(file: Path) -> FilePlan:
    """Look at ``file`` and say what project it makes.

    Raises:
        CommandError: it cannot be read, or nothing that can be labelled was found in it.
    """
    try:
        with pq.ParquetFile(file, pre_buffer=False, arrow_extensions_enabled=False) as opened:
            return _plan(file, opened)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise CommandError(f"{file.name} is not a Parquet file that can be read: {said}") from None


def _plan(file: Path, opened: Any) -> FilePlan:
    schema = opened.schema_arrow
    called = (field for field in schema if field.name.strip().lower() in LABEL_COLUMNS)
    label = next((field.name for field in called if fits("label", field.type)), None)
    mapping = {"label": label} if label is not None else {}
    found = _by_name(schema, mapping) or _by_length(opened, schema, mapping)
    if found is None:
        raise CommandError(f"{file.name} has no column of texts, images or features")
    task, mapping = found
    labels = [] if label is None else seen(_labels(opened, schema, label))
    same = all(field == column for field, column in mapping.items())
    return FilePlan(file, file.stem, task, "parquet", None if same else mapping, labels)


def _by_name(schema: Any, mapping: dict[str, str]) -> tuple[str, dict[str, str]] | None:
    """The first task for which a column has the name and the type."""
    for task in _TASKS:
        try:
            columns = Columns(schema, Options(task, mapping, True, 0))
        except Invalid:
            continue
        return task, mapping | {task: columns.fields[task]}
    return None


def _by_length(opened: Any, schema: Any, mapping: dict[str, str]) -> tuple[str, dict[str, str]] | None:
    """Texts: the column of strings whose cells are the longest."""
    strings = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    free = [name for name in strings if name not in mapping.values()]
    if not free:
        return None
    first = next(opened.iter_batches(SAMPLE_ROWS, columns=free, use_threads=False), None)
    column = text_column(free, [] if first is None else first.to_pylist())
    return None if column is None else _by_name(schema, mapping | {"text": column})


def _labels(opened: Any, schema: Any, column: str) -> Iterator[str]:
    names = class_names(schema.metadata or {}).get(column)
    if names is not None:
        yield from names
        return
    for batch in opened.iter_batches(columns=[column], use_threads=False):
        for value in batch.column(0).to_pylist():
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, str | int):
                yield str(value)
