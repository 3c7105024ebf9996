"""Which format a file has, and its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import BinaryIO

from winnow.errors import Invalid, NotYet
from winnow.importing.jsonl import read_jsonl
from winnow.importing.parquet import read_parquet
from winnow.importing.pictures import read_pictures
from winnow.importing.rows import Position, RawRow, Wanted
from winnow.importing.table import read_table

FORMATS = ("csv", "tsv", "jsonl", "parquet", "zip", "npz")
#: Formats of the contract that a later version brings.
LATER = ("label-studio", "doccano")
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".zip": "zip",
    ".npz": "npz",
    ".parquet": "parquet",
}
_TASKS = {"zip": ("image",), "npz": ("features",)}


def check_format(name: str) -> str:
    """Give back ``name`` if files of this format can be read.

    Raises:
        NotYet: a later version brings it.
        Invalid: there is no such format.
    """
    if name in LATER:
        raise NotYet(f"Files in {name} come in a later version; use {', '.join(FORMATS)}.")
    if name not in FORMATS:
        raise Invalid.field("format", f"must be one of {', '.join(FORMATS)}")
    return name


def detect_format(filename: str, head: bytes) -> str:
    """The format of a file, by its name, else by its first bytes.

    Raises:
        NotYet: a later version brings it.
        Invalid: it cannot be one that is read.
    """
    by_name = _BY_SUFFIX.get(PurePath(filename).suffix.lower())
    if by_name is not None:
        return check_format(by_name)
    if head.startswith((b"PAR1", b"PARE")):
        return "parquet"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PK"):
        return "zip"
    if start.startswith(b"["):
        raise Invalid("The file is one JSON list. Write one object a line instead (JSONL).")
    return "jsonl" if start.startswith(b"{") else "csv"


def read_rows(file: BinaryIO, format: str, wanted: Wanted, position: Position | None = None) -> Iterator[RawRow]:
    """The rows of a file from ``position`` on, with flat memory.

    Raises:
        Invalid: the file as a whole cannot be used, or does not fit the project's task.
    """
    tasks = _TASKS.get(format)
    if tasks is not None and wanted.task not in tasks:
        what = "images" if format == "zip" else "ready-made features"
        raise Invalid(f"A {format} file holds {what}, but the items of this project are of the task {wanted.task}.")
    if format == "jsonl":
        return read_jsonl(file, wanted, position)
    if format == "parquet":
        return read_parquet(file, wanted, position)
    if format == "zip":
        return read_pictures(file, wanted, position)
    if format == "npz":
        from winnow.importing.arrays import read_arrays

        return read_arrays(file, wanted, position)
    return read_table(file, wanted, position, "\t" if format == "tsv" else None)
