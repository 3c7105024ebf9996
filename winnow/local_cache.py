"""Copies on this machine of what lies elsewhere: bounded, and shared by all processes of the machine.

A file is used under a lock of its own (``flock``): shared while it is read, exclusive while it is made, grown or
deleted. Whoever waited for a lock looks whether the file is still the one at its path. So nothing that is held is
deleted, and what a process has mapped stays valid when its file is: the mapping keeps it. All of it can be made again;
a folder that somebody deleted is.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import structlog

log = structlog.get_logger(__name__)

PART = ".part-"
_TREES = ("storage", "features")
_LOCKS = 64


@dataclass(frozen=True)
class Entry:
    """A file of the cache: its size, and when it was last used, in nanoseconds."""

    path: Path
    bytes: int
    used_ns: int


class LocalCache:
    """The files below ``folder`` / ``storage`` and ``folder`` / ``features``, ``bound`` bytes of them (None: any).

    What is held counts and stays, so the bound can be passed while a call needs more; it holds again afterwards.
    """

    def __init__(self, folder: Path, bound: int | None = None) -> None:
        self._folder = folder
        self.bound = bound

    @contextmanager
    def held(self, path: Path, size: int, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """``path`` with ``size`` bytes, kept until the block ends. ``fetch`` fills a file where there is none."""
        fetched = False
        with ExitStack() as held:
            while not _hold(held, path, size):
                with self._only_one(path):
                    if not _has(path, size):
                        self.make_room(size)
                        part, file = held.enter_context(self.part(path.parent))
                        fetch(part)
                        part.replace(path)
                        fcntl.flock(file, fcntl.LOCK_SH)  # held on, so that nobody deletes it before we come to it
                        fetched = True
            yield path
        if fetched:
            self.make_room()

    @contextmanager
    def grown(self, path: Path, size: int, grow: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
        """``path``, open, with ``size`` bytes at least; ``grow`` appends to it, one process at a time.

        To be mapped within the block. A file that is larger than the bound is not kept beyond it.
        """
        with _opened(path, "rb", fcntl.LOCK_SH) as file:
            if file is not None and os.fstat(file.fileno()).st_size >= size:
                _note_use(file)
                yield file
                self._drop_too_large(path, file)
                return
        with _made(path) as file:
            have = os.fstat(file.fileno()).st_size
            if have < size:
                self.make_room(size - have)
                grow(file)
            _note_use(file)
            yield file
            self._drop_too_large(path, file)
        self.make_room()

    def make_room(self, needed: int = 0) -> None:
        """Delete what was not used for longest, until ``needed`` bytes more fit; what is too large goes first."""
        if self.bound is None:
            return
        entries = self.entries()
        total = sum(entry.bytes for entry in entries)
        limit = self.bound - needed if needed <= self.bound else self.bound
        if total <= limit:
            return
        bound, freed = self.bound, 0
        for entry in sorted(entries, key=lambda entry: (entry.bytes <= bound, entry.used_ns)):
            if total - freed <= limit:
                break
            if _evict(entry):
                freed += entry.bytes
                self._drop_empty_folders(entry.path.parent)
        log.info("cache.evicted", bytes=freed, left=total - freed, bound=self.bound)

    def entries(self) -> list[Entry]:
        """The files that count. What a process that died left half written is deleted instead."""
        found = []
        for tree in _TREES:
            for folder, _, names in os.walk(self._folder / tree):
                for name in names:
                    entry = _entry(Path(folder, name))
                    if entry is not None and not (name.startswith(PART) and _evict(entry)):
                        found.append(entry)
        return found

    @contextmanager
    def part(self, folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
        """A new file in ``folder`` to be written and then moved; it goes when the block ends, or the process."""
        path = folder / f"{PART}{secrets.token_hex(8)}"
        try:
            with _made(path) as file:
                yield path, file
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def _only_one(self, path: Path) -> Iterator[None]:
        """So that two processes do not fetch the same file, of which only one would be the one that is held."""
        place = zlib.crc32(os.fsencode(path)) % _LOCKS  # by all of it: the last letters of most paths are the same
        with _made(self._folder / "locks" / f"{place:02}"):
            yield

    def _drop_too_large(self, path: Path, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        if self.bound is not None and size > self.bound:
            log.warning("cache.too_small", file=path.name, bytes=size, bound=self.bound, setting="WINNOW_CACHE_BYTES")
            if _is_at(file, path):
                path.unlink(missing_ok=True)

    def _drop_empty_folders(self, folder: Path) -> None:
        with suppress(OSError):  # not empty, or gone already
            while folder.is_relative_to(self._folder) and folder.parent != self._folder:
                folder.rmdir()
                folder = folder.parent


def _entry(path: Path) -> Entry | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return Entry(path, found.st_size, found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None


def _evict(entry: Entry) -> bool:
    """Delete the file unless somebody holds it, or has just used it."""
    try:
        with entry.path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_mtime_ns != entry.used_ns or not _is_at(file, entry.path):
                return False
            entry.path.unlink()
            return True
    except FileNotFoundError:
        return True
    except BlockingIOError:
        return False


def _has(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def _hold(stack: ExitStack, path: Path, size: int) -> bool:
    """Keep the file at ``path`` from being deleted while ``stack`` lasts, where there is one of this size."""
    file = stack.enter_context(_opened(path, "rb", fcntl.LOCK_SH))
    if file is None or os.fstat(file.fileno()).st_size != size:
        return False
    _note_use(file)
    return True


def _note_use(file: BinaryIO) -> None:
    os.utime(file.fileno())


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _opened(path: Path, mode: str, lock: int) -> Iterator[BinaryIO | None]:
    """The file at ``path``, locked; None if there is none."""
    while True:
        try:
            file = cast(BinaryIO, path.open(mode))
        except FileNotFoundError:
            yield None
            return
        with file:
            fcntl.flock(file, lock)
            if _is_at(file, path):
                try:
                    yield file
                finally:  # closing is not enough: a mapping keeps the open file, and its lock
                    fcntl.flock(file, fcntl.LOCK_UN)
                return


@contextmanager
def _made(path: Path) -> Iterator[BinaryIO]:
    """The file at ``path`` for appending, made where there is none, and locked for this process alone."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path, "a+b", fcntl.LOCK_EX) as file:
            if file is not None:  # else its folder was deleted meanwhile
                yield file
                return
