"""The files of a bundle, read so that nothing in them can take more memory than a bundle may have.

A folder, or the ZIP itself, which is read in place and never unpacked: no name in it becomes a path.
"""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from predictor.errors import BundleError

if TYPE_CHECKING:
    from typing import Any

MODEL_BYTES = 1 << 30
"""A model may be as large as this."""
JSON_BYTES = 16 << 20
"""And each JSON file."""

_MEMBERS = 1_000
_DIRECTORY_BYTES = 1 << 20  # of a ZIP: what lists its members is read whole before any of them
_TAIL_BYTES = 65_557  # within which a ZIP's end is
_RENEW = "Unpack the whole bundle again."


class BundleFiles:
    """The files of a bundle by their names.

    Attributes:
        path: The folder or the ZIP.
    """

    def __init__(self, path: str | Path):
        """Look at what is there; raises BundleError where it is a file but no ZIP of a bundle's kind."""
        self.path = Path(path)
        self._zipped = self.path.is_file()
        self._sizes = _members_of(self.path) if self._zipped else {}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self._sizes if self._zipped else (self.path / name).exists()

    def read(self, name: str, most: int = MODEL_BYTES) -> bytes:
        """The whole of a file; raises BundleError where it is missing, damaged, or has more than ``most`` bytes."""
        try:
            data = self._member(name, most) if self._zipped else _plain_file(self.path / name, most)
        except OSError as error:
            raise BundleError(f"{self.path / name} cannot be read ({error.strerror or error}). {_RENEW}") from error
        if len(data) > most:
            raise BundleError(f"{self.path / name} has more than {most:,} bytes, which no file of a bundle has.")
        return data

    def json(self, name: str, manifest: dict[str, Any] | None = None) -> Any:
        """The JSON in a file; raises BundleError where it is none, or not what the manifest tells."""
        data = self.read(name, JSON_BYTES)
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{self.path / name} is not JSON ({error}). {_RENEW}") from error
        if manifest is not None:
            self.checked(name, data, manifest)
        return found

    def checked(self, name: str, data: bytes, manifest: dict[str, Any]) -> bytes:
        """The bytes of a file, if they are those that the manifest tells; raises BundleError."""
        digests = manifest.get("sha256", {})
        if not isinstance(digests, dict):
            raise BundleError(f"{self.path / 'manifest.json'}: its sha256 is not an object. {_RENEW}")
        expected = digests.get(name)
        if expected and hashlib.sha256(data).hexdigest() != expected:
            raise BundleError(f"{self.path / name} is damaged: its checksum is not the manifest's. {_RENEW}")
        return data

    def _member(self, name: str, most: int) -> bytes:
        if name not in self._sizes:
            raise FileNotFoundError(2, "No such file in the ZIP")
        if self._sizes[name] > most:
            raise BundleError(f"{self.path / name} has more than {most:,} bytes, which no file of a bundle has.")
        import zipfile
        import zlib

        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(name) as member:
                return member.read(most + 1)  # whatever its header says
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise BundleError(f"{self.path / name} cannot be unpacked ({error}). Download the bundle again.") from error


def _plain_file(path: Path, most: int) -> bytes:
    """What a regular file holds; a pipe or a device is not opened, for it may never end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise BundleError(f"{path} is not a regular file. {_RENEW}")
    if found.st_size > most:
        raise BundleError(f"{path} has more than {most:,} bytes, which no file of a bundle has.")
    with path.open("rb") as file:
        return file.read(most + 1)


def _members_of(path: Path) -> dict[str, int]:
    """The members of a ZIP and their sizes; raises BundleError where it cannot be a bundle."""
    import zipfile

    again = "Download the bundle again."
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            tail = file.read()
        end = tail.rfind(b"PK\x05\x06")
        if end < 0 or len(tail) < end + 22:
            raise BundleError(f"{path} is no ZIP, or was cut off. {again}")
        count = int.from_bytes(tail[end + 10 : end + 12], "little")
        directory = int.from_bytes(tail[end + 12 : end + 16], "little")
        if count > _MEMBERS or directory > _DIRECTORY_BYTES:
            raise BundleError(f"{path} has more members than a bundle: {count:,}. It is none.")
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise BundleError(f"{path} cannot be read as a ZIP ({error}). {again}") from error
    names = [member.filename for member in members]
    if len(set(names)) != len(names):
        raise BundleError(f"{path} has two members of one name. {again}")
    return {member.filename: member.file_size for member in members}
