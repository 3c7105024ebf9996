"""``.npz`` with ``X`` (n, d) and perhaps ``y`` (n,): rows are streamed out of the archive, nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from winnow.errors import Invalid
from winnow.importing.archive import open_archive, refuse_packing
from winnow.importing.rows import Position, RawRow, Wanted

_BLOCK_BYTES = 1 << 20
_MAX_LABEL_BYTES = 256 << 20


def read_arrays(file: BinaryIO, wanted: Wanted, position: Position | None) -> Iterator[RawRow]:
    """The rows of ``X`` from ``position`` on; ``line`` is the row, from 1.

    ``y`` holds class names, or whole numbers: names where the classes are written as numbers, else places in the list
    of classes. -1 is no label.

    Raises:
        Invalid: no usable ``X`` or ``y``.
    """
    archive = open_archive(file)
    first = (position or {"row": 0})["row"]
    label_of = _labels(archive, wanted)
    with _member(archive, "X") as (stream, shape, dtype):
        if len(shape) != 2 or dtype.kind not in "fiub" or not shape[1]:
            raise Invalid(f"X must be a table of numbers, (n, d); this one is {shape} of {dtype}.")
        rows, columns = shape
        if not rows:
            raise Invalid("X has no rows. Choose a file with at least one.")
        if columns > wanted.settings.max_feature_dim:
            raise Invalid(f"X has {columns:,} columns; at most {wanted.settings.max_feature_dim:,} are allowed.")
        if wanted.feature_dim not in (None, columns):
            raise Invalid(f"X has {columns} columns; the items of this project have {wanted.feature_dim}.")
        if label_of.rows not in (None, rows):
            raise Invalid(f"y has {label_of.rows} entries, X has {rows} rows. Give one label for each row.")
        width = dtype.itemsize * columns
        _skip(stream, first * width)
        for start, block in _blocks(stream, first, rows, width):
            with np.errstate(over="ignore", invalid="ignore"):
                values = np.frombuffer(block, dtype=dtype).reshape(-1, columns).astype("<f4")
            for offset, row in enumerate(values):
                place = start + offset
                label, error = label_of(place)
                found = {"features": row.tobytes(), "label": label} if error is None else None
                yield RawRow(place + 1, found, error, (place + 1) / rows, {"row": place + 1})


class _labels:  # noqa: N801 — reads as the function that it is
    """``y``, once it is read: the label of each row."""

    def __init__(self, archive: zipfile.ZipFile, wanted: Wanted) -> None:
        self.rows: int | None = None
        self._values: NDArray[Any] | None = None
        self._classes = list(wanted.classes)
        self._by_name = all(name.lstrip("-").isdecimal() for name in self._classes)
        if not wanted.use_labels or "y.npy" not in archive.namelist():
            return
        with _member(archive, "y") as (stream, shape, dtype):
            if len(shape) != 1 or dtype.kind not in "iufUS":
                raise Invalid(f"y must be a list of class names or whole numbers; this one is {shape} of {dtype}.")
            size = shape[0] * dtype.itemsize
            if size > _MAX_LABEL_BYTES:
                raise Invalid(f"y is larger than {_MAX_LABEL_BYTES:,} bytes. Use shorter class names, or numbers.")
            self._values = np.frombuffer(_exactly(stream, size), dtype=dtype) if size else np.empty(0, dtype)
            self.rows = shape[0]

    def __call__(self, place: int) -> tuple[str | None, str | None]:
        """The label of a row and, if it cannot be used, why."""
        if self._values is None:
            return None, None
        value = self._values[place].item()
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str):
            return value or None, None
        if value == -1:
            return None, None
        if not math.isfinite(value) or int(value) != value:
            return None, f"y is {value:.16g}; it must be a whole number or a class name."
        if self._by_name:
            return str(int(value)), None
        if 0 <= value < len(self._classes):
            return self._classes[int(value)], None
        return None, f"y is {value:.16g}, but the project has the classes 0 to {len(self._classes) - 1}."


@contextmanager
def _member(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype[Any]]]:
    """The data of an array as a stream, with its shape and type; its header is read without trusting it."""
    if f"{name}.npy" not in archive.namelist():
        names = ", ".join(sorted(archive.namelist())[:10]) or "nothing"
        raise Invalid(f"The file has no array {name}; it has {names}. Save it with numpy.savez(file, X=…, y=…).")
    info = archive.getinfo(f"{name}.npy")
    refusal = refuse_packing(info)
    if refusal is not None:
        raise Invalid(f"The array {name} was not read: {refusal}, or save it with numpy.savez.")
    with _readable(name), archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        read_header: Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]]
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_columns, dtype = read_header(stream)
        if dtype.hasobject:
            raise Invalid(f"{name} holds Python objects, which are never read. Save numbers or fixed-width strings.")
        if by_columns and len(shape) > 1:
            raise Invalid(f"{name} is stored column by column. Save numpy.ascontiguousarray({name}).")
        yield stream, shape, dtype


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Invalid(f"The array {name} is damaged or not a NumPy array ({type(error).__name__}).") from None


def _blocks(stream: IO[bytes], first: int, rows: int, width: int) -> Iterator[tuple[int, bytes]]:
    """Consecutive whole rows, as (number of the first, bytes)."""
    at_once = max(1, _BLOCK_BYTES // width)
    for start in range(first, rows, at_once):
        yield start, _exactly(stream, min(at_once, rows - start) * width)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts: list[bytes] = []
    missing = size
    while missing:
        part = stream.read(min(missing, _BLOCK_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _skip(stream: IO[bytes], size: int) -> None:
    while size:
        part = stream.read(min(size, _BLOCK_BYTES))
        if not part:
            raise EOFError
        size -= len(part)
