"""A ZIP of images. The folder that an image lies in is its label where that is a class of the project."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

from winnow.errors import Invalid
from winnow.importing.archive import open_archive, read_member
from winnow.importing.rows import Position, RawRow, Wanted
from winnow.intake import MAX_KEY_CHARS, unknown_class


def read_pictures(file: BinaryIO, wanted: Wanted, position: Position | None) -> Iterator[RawRow]:
    """The images of an archive from ``position`` on; ``line`` is the place among its members.

    Folders count as labels when labels are used and at least one folder is a class; an image in another folder is then
    refused, one at the root comes without a label. The member's path is its key. Nothing is ever written to disk, so
    absolute paths and ``..`` lead nowhere. Hidden files and what macOS adds are passed over.
    """
    archive = open_archive(file)
    members = [info for info in archive.infolist() if not info.is_dir() and not _is_hidden(info.filename)]
    if not members:
        raise Invalid("The archive holds no files. Put images in it.")
    classes = frozenset(wanted.classes)
    labelled = wanted.use_labels and any(_folder(info) in classes for info in members)
    for place in range((position or {"member": 0})["member"], len(members)):
        info = members[place]
        after, share = {"member": place + 1}, (place + 1) / len(members)
        label = _folder(info) if labelled else None
        error = None
        row: dict[str, object] | None = None
        if label is not None and label not in classes:
            error = f"{_name(info)}: the folder {unknown_class(label, list(wanted.classes))}"
        else:
            try:
                data = read_member(archive, info, wanted.settings.max_image_bytes)
            except ValueError as refusal:
                error = f"{_name(info)} was not read: {refusal}."
            else:
                row = {"image": data, "label": label, "key": _key(info)}
        yield RawRow(place + 1, row, error, share, after)


def _parts(filename: str) -> list[str]:
    path = PurePosixPath(filename.replace("\\", "/"))
    return [part for part in path.parts if part not in ("/", ".", "..")]


def _is_hidden(filename: str) -> bool:
    parts = _parts(filename)
    return (
        not parts or parts[0] == "__MACOSX" or any(part.startswith(".") for part in parts) or parts[-1] == "Thumbs.db"
    )


def _folder(info: zipfile.ZipInfo) -> str | None:
    parts = _parts(info.filename)
    return parts[-2] if len(parts) > 1 else None


def _key(info: zipfile.ZipInfo) -> str | None:
    key = "/".join(_parts(info.filename))
    return key if key.isprintable() and len(key) <= MAX_KEY_CHARS else None


def _name(info: zipfile.ZipInfo) -> str:
    name = "/".join(_parts(info.filename))
    return repr(name if len(name) <= 80 else f"…{name[-79:]}")
