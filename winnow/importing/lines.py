"""Lines of a file in bounded memory: one that is too long is passed over, however long it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from winnow.errors import Invalid

_BLOCK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


@dataclass(slots=True)
class Line:
    """A line with its number from 1, the offset after it, and its bytes; None where it was too long to keep."""

    number: int
    end: int
    data: bytes | None


def start_of_text(file: BinaryIO) -> int:
    """The offset of the first character, after a byte order mark.

    Raises:
        Invalid: the file is empty, or in an encoding that is not UTF-8.
    """
    file.seek(0)
    head = file.read(4)
    if not head:
        raise Invalid("The file is empty. Choose a file with at least one row.")
    if head[:2] in _WIDE:
        raise Invalid(f"The file is in {_WIDE[head[:2]]}; save it as UTF-8 and import it again.")
    return len(_BOM) if head.startswith(_BOM) else 0


def file_size(file: BinaryIO) -> int:
    """The size of an open file in bytes; the position moves to its end."""
    return file.seek(0, os.SEEK_END)


def read_lines(file: BinaryIO, offset: int, number: int, limit: int) -> Iterator[Line]:
    """The lines from ``offset`` on, the first being number ``number``; at most ``limit`` bytes are kept."""
    file.seek(offset)
    while True:
        data = file.readline(limit + 2)
        if not data:
            return
        offset += len(data)
        kept: bytes | None = data
        if not data.endswith(b"\n") and len(data) > limit:
            kept = None
            offset += _skip_line(file)
        yield Line(number, offset, kept)
        number += 1


def _skip_line(file: BinaryIO) -> int:
    """Read up to and with the next line break in blocks; returns how many bytes that were."""
    skipped = 0
    while block := file.readline(_BLOCK):
        skipped += len(block)
        if block.endswith(b"\n"):
            break
    return skipped
