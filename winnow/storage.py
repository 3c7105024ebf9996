"""Artifacts and features by URL: a folder, memory, or an object store that fsspec speaks to.

Paths are relative, with ``/`` between their parts. What is put appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from fsspec.implementations.local import LocalFileSystem

from winnow.errors import StorageUnavailable
from winnow.local_cache import PART, LocalCache
from winnow.remote import EXTRAS, asking, open_remote, protocol_of, shown, upload_options
from winnow.settings import Settings

_COPY_BYTES = 1 << 20


def project_prefix(project_id: int) -> str:
    """The folder under which everything of a project lies; a purge deletes it."""
    return f"projects/{project_id}"


def check_path(path: str) -> str:
    """Give back ``path`` if it is relative and stays below the root.

    Raises:
        ValueError: it is absolute, empty, has a part such as ``..``, or a letter that stands for others.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or any(letter in path for letter in "\\\0*?["):
        raise ValueError(f"not a path inside the storage: {path!r}")
    return path


class Storage:
    """The files of the service under one URL, for any thread, and for a process that was forked as well.

    Where the URL is not a folder, copies lie in ``cache``, of at most ``cache_bytes``, and every method raises
    :class:`~winnow.errors.StorageUnavailable` when the other side does not answer or lets nobody in.

    Raises:
        Misconfigured: what speaks to such a URL is not installed.
    """

    def __init__(self, url: str, cache: Path, cache_bytes: int | None = None) -> None:
        self.url = url
        self._process, (self._opened, root) = os.getpid(), open_remote(url)
        self._root = root
        self._folder = Path(root) if isinstance(self._opened, LocalFileSystem) else None
        self._makes_folders = protocol_of(url) not in EXTRAS  # in an object store it would make a bucket
        self._copies = cache / "storage" / hashlib.sha256(url.encode()).hexdigest()[:16]
        self._cache = LocalCache(cache, cache_bytes)

    @classmethod
    def of(cls, settings: Settings) -> Storage:
        """The storage that the settings name."""
        return cls(settings.resolved_storage_url, settings.cache_folder, settings.cache_bytes)

    @property
    def folder(self) -> Path | None:
        """The folder that the files lie in, where they do."""
        return self._folder

    @property
    def _fs(self) -> Any:
        if self._process != os.getpid():  # connections, and the thread that serves them, do not survive a fork
            self._opened = open_remote(self.url)[0]
            self._process = os.getpid()
        return self._opened

    def check(self) -> None:
        """Write a small file, read it and delete it; raises :class:`~winnow.errors.StorageUnavailable`."""
        path = f"probes/{secrets.token_hex(8)}"
        try:
            self.put_bytes(b"winnow", path)
            found = self.get_bytes(path)
            self.delete(path)
        except OSError as error:
            raise StorageUnavailable(
                f"The storage at {shown(self.url)} cannot be used: {error}.", lasting=True
            ) from error
        if found != b"winnow":
            raise StorageUnavailable(f"The storage at {shown(self.url)} gives back other bytes than it was given.")

    def put_file(self, local: Path, path: str) -> None:
        """Copy the file ``local`` to ``path``, replacing what is there."""
        if self._folder is None:
            full = self._full(path)
            with asking(self.url, path):
                self._make_parent(full)
                self._fs.put_file(str(local), full, **upload_options(self.url))
            self._forget(path)
            return
        with local.open("rb") as source, self._replacing(self._folder / check_path(path)) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)

    def put_bytes(self, data: bytes, path: str) -> None:
        """Write ``data`` to ``path``, replacing what is there."""
        if self._folder is None:
            full = self._full(path)
            with asking(self.url, path):
                self._make_parent(full)
                self._fs.pipe_file(full, data)
            self._forget(path)
            return
        with self._replacing(self._folder / check_path(path)) as target:
            target.write(data)

    def get_bytes(self, path: str) -> bytes:
        """The whole content of ``path``; FileNotFoundError if there is none."""
        if self._folder is not None:
            return (self._folder / check_path(path)).read_bytes()
        full = self._full(path)
        with asking(self.url, path):
            return cast(bytes, self._fs.cat_file(full))

    @contextmanager
    def open(self, path: str, mode: Literal["rb", "wb"] = "rb") -> Iterator[BinaryIO]:
        """The file at ``path``. What is written appears when the block ends, and not if it raises."""
        check_path(path)
        if mode == "rb":
            with self.local(path) as file, file.open("rb") as source:
                yield source
        elif self._folder is not None:
            with self._replacing(self._folder / path) as target:
                yield target
        else:
            with self._cache.part(self._copies) as (part, target):
                yield target
                target.flush()
                self.put_file(part, path)

    @contextmanager
    def local(self, path: str) -> Iterator[Path]:
        """A file on this machine with the content of ``path``: the file itself, else a copy that stays for the block.

        A copy is taken to be current while its size is: files are written once, under paths that bear their attempt.
        """
        if self._folder is not None:
            file = self._folder / check_path(path)
            if not file.exists():
                raise FileNotFoundError(path)
            yield file
            return
        size = self.size(path)

        def fetch(part: Path) -> None:
            with asking(self.url, path):
                self._fs.get_file(self._full(path), str(part))
            if part.stat().st_size != size:
                raise StorageUnavailable(f"{path} came in part from the storage.")

        with self._cache.held(self._copies / path, size, fetch) as copy:
            yield copy

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder at ``path``."""
        full = self._full(path)
        with asking(self.url, path):
            return bool(self._fresh().exists(full))

    def delete(self, path: str) -> None:
        """Delete the file or the folder ``path`` with all that is in it; nothing happens if there is none."""
        full = self._full(path)
        self._forget(path)
        try:
            with asking(self.url, path):
                self._fresh().rm(full, recursive=True)
        except FileNotFoundError:
            return

    def list(self, prefix: str = "") -> list[str]:
        """The paths of all files below the folder ``prefix``, sorted."""
        base = self._full(prefix) if prefix else self._root
        try:
            with asking(self.url, prefix):
                found = self._fresh().find(base)
        except FileNotFoundError:
            return []
        cut = len(self._root) + 1
        return sorted(p[cut:] for p in map(str, found) if not p.rpartition("/")[2].startswith(PART))

    def size(self, path: str) -> int:
        """The size of the file at ``path`` in bytes; FileNotFoundError if there is none."""
        full = self._full(path)
        with asking(self.url, path):
            found = self._fresh().info(full)
        if found["type"] != "file":
            raise FileNotFoundError(path)
        return int(found["size"])

    def _full(self, path: str) -> str:
        return f"{self._root}/{check_path(path)}"

    def _fresh(self) -> Any:
        """The file system, with what it remembers of listings forgotten: others write too."""
        fs = self._fs
        fs.invalidate_cache()
        return fs

    def _make_parent(self, full: str) -> None:
        if self._makes_folders:
            self._fs.makedirs(full.rpartition("/")[0], exist_ok=True)

    def _forget(self, path: str) -> None:
        if self._folder is not None:
            return
        copy = self._copies / check_path(path)
        if copy.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
        else:
            copy.unlink(missing_ok=True)

    @staticmethod
    @contextmanager
    def _replacing(target: Path) -> Iterator[BinaryIO]:
        """A temporary neighbour of ``target`` that takes its place, synced to disk, when the block ends."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.parent / f"{PART}{secrets.token_hex(8)}"
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
