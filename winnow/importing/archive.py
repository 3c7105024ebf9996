"""Archives: what their directory claims is checked before anything is read from them."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from typing import BinaryIO

from winnow.errors import Invalid

MAX_MEMBERS = 200_000
MAX_DIRECTORY_BYTES = 64 << 20
#: A member that unfolds to more than this times its packed size is refused.
MAX_RATIO = 200
_SMALL = 1 << 16  # a ratio says nothing about what is tiny
#: What is unpacked. ``zipfile`` unfolds these piece by piece, as far as it is asked to; but 4 KB of bzip2 at once, to
#: gigabytes if need be, and LZMA with as large a dictionary as the member claims.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_END = b"PK\x05\x06"
_END64 = b"PK\x06\x06"
_LOCATOR64 = b"PK\x06\x07"


def open_archive(file: BinaryIO) -> zipfile.ZipFile:
    """The archive, once its directory has been found and is small enough to be read.

    Raises:
        Invalid: empty, not a ZIP file, damaged, or with too many members.
    """
    members, directory = _claims(file)
    if members > MAX_MEMBERS or directory > MAX_DIRECTORY_BYTES:
        raise Invalid(f"The archive has more than {MAX_MEMBERS:,} members. Split it into smaller ones.")
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, struct.error, NotImplementedError):
        raise Invalid("The archive is damaged and cannot be read. Make it again.") from None


def refuse_packing(info: zipfile.ZipInfo) -> str | None:
    """Why a member must not be unpacked, however large it is; None when it may be."""
    if info.flag_bits & 0x1:
        return "it is encrypted; make the archive without a password"
    if info.compress_type not in _METHODS:
        return "it is packed by a method other than deflate; make the archive with deflate, the usual one"
    return None


def refuse_member(info: zipfile.ZipInfo, max_bytes: int) -> str | None:
    """Why a member must not be read, from what the directory claims of it; None when it may be."""
    packing = refuse_packing(info)
    if packing is not None:
        return packing
    if info.file_size > max_bytes:
        return f"it is larger than {max_bytes:,} bytes"
    if info.file_size > _SMALL and info.file_size > MAX_RATIO * max(1, info.compress_size):
        return f"it unfolds to more than {MAX_RATIO} times its packed size"
    return None


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    """The bytes of a member.

    Raises:
        ValueError: it may not be read, is damaged, or is not what the directory claims.
    """
    refusal = refuse_member(info, max_bytes)
    if refusal is not None:
        raise ValueError(refusal)
    try:
        with archive.open(info) as member:
            data = member.read(max_bytes + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, struct.error):
        raise ValueError("it is damaged or packed in a way that cannot be read") from None
    if len(data) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes:,} bytes")
    return data


def _claims(file: BinaryIO) -> tuple[int, int]:
    """How many members the archive says it has, and how large its directory is."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        raise Invalid("The file is empty. Choose an archive with at least one member.")
    tail_at = max(0, size - (1 << 16) - 22)
    file.seek(tail_at)
    tail = file.read()
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < 22:
        raise Invalid("The file is not a ZIP archive, or it is cut off.")
    members, directory = struct.unpack("<HI", tail[end + 10 : end + 16])
    locator = tail[max(0, end - 20) : end]
    if locator[:4] == _LOCATOR64:
        (at,) = struct.unpack("<Q", locator[8:16])
        file.seek(min(at, size))
        end64 = file.read(56)
        if len(end64) == 56 and end64[:4] == _END64:
            members, directory = struct.unpack("<QQ", end64[32:48])
    return members, directory
