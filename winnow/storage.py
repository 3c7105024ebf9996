"""Artifacts and features by URL: a folder, memory, or any file system that fsspec knows.

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
from typing import BinaryIO, Literal, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

_PART = ".part-"


def project_prefix(project_id: int) -> str:
    """The folder under which everything of a project lies; a purge deletes it."""
    return f"projects/{project_id}"


def check_path(path: str) -> str:
    """Give back ``path`` if it is relative and stays below the root.

    Raises:
        ValueError: it is absolute, empty, or has a part such as ``..``.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in path or "\0" in path:
        raise ValueError(f"not a path inside the storage: {path!r}")
    return path


class Storage:
    """The files of the service under one URL. ``cache`` holds copies where the URL is not a folder."""

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")
        self._folder = Path(root) if isinstance(self._fs, LocalFileSystem) else None
        self._cache = cache / "storage" / hashlib.sha256(url.encode()).hexdigest()[:16]

    def put_file(self, local: Path, path: str) -> None:
        """Copy the file ``local`` to ``path``, replacing what is there."""
        if self._folder is None:
            self._make_parent(path)
            self._fs.put_file(str(local), self._full(path))
            self._forget(path)
            return
        with local.open("rb") as source, self._replacing(self._folder / check_path(path)) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def put_bytes(self, data: bytes, path: str) -> None:
        """Write ``data`` to ``path``, replacing what is there."""
        if self._folder is None:
            self._make_parent(path)
            self._fs.pipe_file(self._full(path), data)
            self._forget(path)
            return
        with self._replacing(self._folder / check_path(path)) as target:
            target.write(data)

    def get_bytes(self, path: str) -> bytes:
        """The whole content of ``path``; FileNotFoundError if there is none."""
        return cast(bytes, self._fs.cat_file(self._full(path)))

    @contextmanager
    def open(self, path: str, mode: Literal["rb", "wb"] = "rb") -> Iterator[BinaryIO]:
        """The file at ``path``. What is written appears when the block ends, and not if it raises."""
        check_path(path)
        if mode == "rb":
            with self._fs.open(self._full(path), "rb") as source:
                yield source
        elif self._folder is not None:
            with self._replacing(self._folder / check_path(path)) as target:
                yield target
        else:
            staged = self._cache / f"{_PART}{secrets.token_hex(8)}"
            try:
                with self._replacing(staged) as target:
                    yield target
                self.put_file(staged, path)
            finally:
                staged.unlink(missing_ok=True)

    def local(self, path: str) -> Path:
        """A file on this machine with the content of ``path``: the file itself, else a cached copy.

        A copy is taken to be current while its size is: files are written once, under paths that bear their attempt.
        """
        if self._folder is not None:
            file = self._folder / check_path(path)
            if not file.exists():
                raise FileNotFoundError(path)
            return file
        copy = self._cache / check_path(path)
        if not copy.exists() or copy.stat().st_size != self.size(path):
            with self._fs.open(self._full(path), "rb") as source, self._replacing(copy) as target:
                shutil.copyfileobj(source, target, 1 << 20)
        return copy

    def exists(self, path: str) -> bool:
        """Whether there is a file or a folder at ``path``."""
        return bool(self._fs.exists(self._full(path)))

    def delete(self, path: str) -> None:
        """Delete the file or the folder ``path`` with all that is in it; nothing happens if there is none."""
        full = self._full(path)
        self._forget(path)
        if self._fs.exists(full):
            self._fs.rm(full, recursive=True)

    def list(self, prefix: str = "") -> list[str]:
        """The paths of all files below the folder ``prefix``, sorted."""
        base = self._full(prefix) if prefix else self._root
        found = self._fs.find(base) if self._fs.exists(base) else []
        cut = len(self._root) + 1
        return sorted(p[cut:] for p in map(str, found) if not p.rpartition("/")[2].startswith(_PART))

    def size(self, path: str) -> int:
        """The size of the file at ``path`` in bytes; FileNotFoundError if there is none."""
        return int(self._fs.size(self._full(path)))

    def _full(self, path: str) -> str:
        return f"{self._root}/{check_path(path)}"

    def _make_parent(self, path: str) -> None:
        self._fs.makedirs(self._full(path).rpartition("/")[0], exist_ok=True)

    def _forget(self, path: str) -> None:
        copy = self._cache / check_path(path)
        if copy.is_dir():
            shutil.rmtree(copy, ignore_errors=True)
        else:
            copy.unlink(missing_ok=True)

    @staticmethod
    @contextmanager
    def _replacing(target: Path) -> Iterator[BinaryIO]:
        """A temporary neighbour of ``target`` that takes its place, synced to disk, when the block ends."""
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.parent / f"{_PART}{secrets.token_hex(8)}"
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
