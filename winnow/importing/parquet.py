"""Parquet: decoded by a process of its own with limited memory, whose rows are passed on.

That process (`winnow.importing.parquet_reader`) is told what to read in one line of JSON on its standard input; the
file is handed to it open. It answers with frames: two big-endian 32-bit lengths, then as many bytes of JSON and as many
bytes of images or feature vectors. Nothing of it is trusted but to be such frames.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from winnow.errors import Invalid
from winnow.importing.rows import Position, RawRow, Wanted

#: So much may the reader take on top of what it is; larger row groups than that are not read.
MEMORY_BYTES = 1 << 30
#: So long may it take over a portion of rows.
PATIENCE_SECONDS = 120.0
_MOST_FRAME_BYTES = 256 << 20
_BLOCK = 1 << 18
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TMPDIR")
_NO_THREADS = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def read_parquet(file: BinaryIO, wanted: Wanted, position: Position | None) -> Iterator[RawRow]:
    """The rows of a Parquet file from ``position`` on; ``line`` is the row, from 1.

    Raises:
        Invalid: the file cannot be read, or needs too much memory or time for it.
    """
    request = {
        "parent": os.getpid(),
        "memory": MEMORY_BYTES,
        "task": wanted.task,
        "mapping": dict(wanted.mapping),
        "use_labels": wanted.use_labels,
        "most_bytes": wanted.max_line_bytes,
        "row": (position or {"row": 0})["row"],
    }
    with _on_disk(file) as handle, _reader({**request, "file": handle}, handle) as pipe:
        while True:
            frame = _frame(pipe)
            if "invalid" in frame:
                raise Invalid(str(frame["invalid"])[:2000])
            if "end" in frame:
                return
            yield from _rows(frame)


def _rows(frame: dict[str, Any]) -> Iterator[RawRow]:
    blobs, at = frame["blobs"], 0
    for found in frame["rows"]:
        row = found.get("row")
        if row is not None and "blob" in found:
            field, size = found["blob"]
            row[field] = blobs[at : at + size]
            at += size
        line = found["line"]
        yield RawRow(line, row, found.get("error"), found["share"], {"row": line})


@contextmanager
def _on_disk(file: BinaryIO) -> Iterator[int]:
    """The descriptor of an open file; of a copy where the file lies elsewhere."""
    handle = _descriptor(file)
    if handle is not None:
        yield handle
        return
    with tempfile.TemporaryFile() as copy:
        file.seek(0)
        shutil.copyfileobj(file, copy, _BLOCK)
        copy.flush()
        yield copy.fileno()


def _descriptor(file: BinaryIO) -> int | None:
    try:
        return file.fileno()
    except (OSError, AttributeError):  # OSError: io.UnsupportedOperation is one
        return None


@contextmanager
def _reader(request: dict[str, Any], handle: int) -> Iterator[_Pipe]:
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ} | _NO_THREADS
    process = subprocess.Popen(
        [sys.executable, "-m", "winnow.importing.parquet_reader"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(handle,),
        env=environment,
    )
    assert process.stdin is not None  # noqa: S101 — it is a pipe
    assert process.stdout is not None  # noqa: S101 — so is it
    try:
        with suppress(BrokenPipeError), process.stdin as asking:
            asking.write(json.dumps(request).encode() + b"\n")
        pipe = _Pipe(process.stdout.fileno())
        if not pipe.begins():
            raise RuntimeError("The process that reads Parquet files did not start.")
        yield pipe
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


class _Pipe:
    """Reads exactly so many bytes, and does not wait for ever."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._held = bytearray()
        self._poll = select.poll()
        self._poll.register(handle, select.POLLIN)

    def begins(self) -> bool:
        """Whether there is anything to be read; waits for it."""
        try:
            return _frame(self) == {"ready": True, "blobs": b""}
        except Invalid:
            return False

    def exactly(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            Invalid: none come, or no more.
        """
        while len(self._held) < size:
            if not self._poll.poll(PATIENCE_SECONDS * 1000):
                raise Invalid("The file takes too long to be read. Write it with smaller row groups and pages.")
            block = os.read(self._handle, _BLOCK)
            if not block:
                raise Invalid(
                    "The file cannot be read: it is damaged, or decoding it takes too much memory. "
                    "Write it again, with smaller row groups."
                )
            self._held += block
        found = bytes(self._held[:size])
        del self._held[:size]
        return found


def _frame(pipe: _Pipe) -> dict[str, Any]:
    header, blobs = struct.unpack(">II", pipe.exactly(8))
    if header + blobs > _MOST_FRAME_BYTES:
        raise Invalid("The file has rows that are too large to be read.")
    frame: dict[str, Any] = json.loads(pipe.exactly(header))
    frame["blobs"] = pipe.exactly(blobs)
    return frame
