"""The process that decodes a Parquet file: what is in it can cost this process its life, and nobody else.

A page of a hundred bytes can stand for gigabytes, in more ways than could be checked beforehand. So this process limits
its own memory, and hands plain rows to the one that started it. Run by `winnow.importing.parquet`, which says how rows
are framed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from winnow.errors import Invalid
from winnow.importing.parquet_columns import Columns, Options, Unreadable

_PR_SET_PDEATHSIG = 1
_BATCH_BYTES = 4 << 20
_MOST_ROWS = 1024
#: Rows with images at once: a dictionary can make each of them as large as an image may be.
_MOST_IMAGES = 16
_FRAME_BYTES = 1 << 20
_READ_BYTES = 1 << 20
_MOST_FOOTER_BYTES = 64 << 20
_MOST_DEPTH = 64
_TAIL = 8  # the length of the footer, and the magic

TOO_MUCH = "needs more memory than its reader may use. Write it with smaller row groups and pages, and import it again."


def main() -> int:
    """Read the request from stdin, write rows to stdout; returns the exit status."""
    request = json.loads(sys.stdin.readline())
    _die_with(request["parent"])
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    _limit_memory(request["memory"])
    out = sys.stdout.buffer
    _send(out, {"ready": True}, [])
    options = Options(request["task"], request["mapping"], request["use_labels"], request["most_bytes"])
    with os.fdopen(request["file"], "rb") as file:
        try:
            for rows, blobs in frames(file, options, request["row"]):
                _send(out, {"rows": rows}, blobs)
            _send(out, {"end": True}, [])
        except Invalid as error:
            _send(out, {"invalid": str(error)}, [])
        except BrokenPipeError:
            os._exit(1)  # whoever asked is gone
    return 0


def frames(file: BinaryIO, options: Options, first: int) -> Iterator[tuple[list[dict[str, Any]], list[bytes]]]:
    """The rows of a file from number ``first`` (from 0) on, in portions of about a mebibyte.

    Each row is ``{"line", "share", "row" | "error"}``. Bytes are taken out of it; ``blob`` says where and how many.

    Raises:
        Invalid: the file, or the rest of it, cannot be read.
    """
    rows: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    held = 0
    found_rows = read(file, options, first)
    while True:
        try:
            row = next(found_rows, None)
        except Invalid:
            if rows:  # what was read before it broke counts
                yield rows, blobs
            raise
        if row is None:
            break
        rows.append(row)
        found = row.get("row") or {}
        for field in ("image", "features"):
            if isinstance(found.get(field), bytes):
                blobs.append(found.pop(field))
                row["blob"] = [field, len(blobs[-1])]
                held += len(blobs[-1])
        held += 200 + len(found.get("text") or "") + len(found.get("image") or "")
        if held >= _FRAME_BYTES:
            yield rows, blobs
            rows, blobs, held = [], [], 0
    if rows:
        yield rows, blobs


def read(file: BinaryIO, options: Options, first: int) -> Iterator[dict[str, Any]]:
    """Rows from number ``first`` on, as `frames` describes them.

    Raises:
        Invalid: the file, or the rest of it, cannot be read.
    """
    _check_ends(file)
    with _readable(""):
        opened = pq.ParquetFile(
            file,
            pre_buffer=False,
            buffer_size=_READ_BYTES,
            schema_depth_limit=_MOST_DEPTH,
            arrow_extensions_enabled=False,
        )
        columns = Columns(opened.schema_arrow, options)
        metadata = opened.metadata
        total = max(1, metadata.num_rows)
    at = 0
    for group in range(metadata.num_row_groups):
        with _readable(""):
            about = metadata.row_group(group)
            claimed, size = about.num_rows, about.total_byte_size
        if at + claimed <= first:
            at += claimed
            continue
        many = max(1, min(_most_rows(options), _BATCH_BYTES * max(1, claimed) // max(1, size)))
        end = at + claimed
        batches = opened.iter_batches(many, row_groups=[group], columns=columns.paths, use_threads=False)
        while True:
            with _readable(f"Its rows before {at + 1:,} were added, the others cannot be read. " if at else ""):
                batch = next(batches, None)
                if batch is None:
                    break
                skipped = min(batch.num_rows, max(0, first - at))
                found = list(columns.rows(batch.slice(skipped)))
            for place, row in enumerate(found, at + skipped + 1):
                yield _row(row, place, total, options.most_bytes)
            at += batch.num_rows
        if at != end:
            raise Invalid(f"The file is damaged: a row group has {at - end + claimed:,} rows and not {claimed:,}.")


def _most_rows(options: Options) -> int:
    return _MOST_IMAGES if options.task == "image" else _MOST_ROWS


def _row(found: dict[str, Any] | Unreadable, line: int, total: int, most_bytes: int) -> dict[str, Any]:
    about: dict[str, Any] = {"line": line, "share": min(1.0, line / total)}
    if isinstance(found, Unreadable):
        return about | {"error": str(found)}
    sizes = (len(value) for value in found.values() if isinstance(value, str | bytes))
    if sum(sizes) > most_bytes:
        return about | {"error": f"This row is longer than {most_bytes:,} bytes; shorten it."}
    return about | {"row": found}


def _check_ends(file: BinaryIO) -> None:
    """What can be said without decoding anything."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise Invalid("The file is empty. Choose a file with at least one row.")
    file.seek(0)
    if file.read(4) not in (b"PAR1", b"PARE"):
        raise Invalid("The file is not a Parquet file.")
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    if tail[4:] == b"PARE":
        raise Invalid("The file is encrypted. Write it without encryption.")
    if size < 4 + _TAIL or tail[4:] != b"PAR1":
        raise Invalid("The file is cut off: its last bytes, which say what is in it, are missing. Upload it again.")
    footer = struct.unpack("<I", tail[:4])[0]
    if footer > size - 4 - _TAIL:
        raise Invalid("The file is damaged: its footer is longer than the file. Write it again.")
    if footer > _MOST_FOOTER_BYTES:
        raise Invalid(f"The file's footer is larger than {_MOST_FOOTER_BYTES:,} bytes. Write larger row groups.")
    file.seek(0)


class _readable:  # noqa: N801 — reads as the function that it is
    """Turns whatever decoding raises into Invalid."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, Invalid) or not isinstance(error, Exception):
            return
        if isinstance(error, MemoryError) or "bad_alloc" in str(error):
            raise Invalid(f"The file cannot be read. {self._where}It {TOO_MUCH}") from None
        said = " ".join(str(error).split()).rstrip(".")[:200]
        raise Invalid(f"The file is damaged or not a Parquet file that can be read. {self._where}({said}.)") from None


def _send(out: BinaryIO, header: dict[str, Any], blobs: list[bytes]) -> None:
    data = json.dumps(header).encode()
    out.write(struct.pack(">II", len(data), sum(map(len, blobs))))
    out.write(data)
    out.writelines(blobs)
    out.flush()


def _die_with(parent: int) -> None:
    """Be killed when the process that started this one dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit_memory(more: int) -> None:
    """Allow this process ``more`` bytes on top of what it has."""
    statm = Path("/proc/self/statm")
    has = int(statm.read_text().split()[0]) * resource.getpagesize() if statm.exists() else 0
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    wanted = has + more if hard == resource.RLIM_INFINITY else min(hard, has + more)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main())
