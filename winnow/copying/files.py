"""The files of a project, from one storage to the other, and the traces of copies that did not end."""

from __future__ import annotations

import hashlib
import json
import secrets
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection

from winnow.copying.carrier import Carrier, CopyRefused
from winnow.copying.plan import table
from winnow.exports import path_of
from winnow.leftovers import uploads_of
from winnow.storage import Storage, project_prefix

#: Names the copies that have begun and not ended: what lies in the folders of their projects is nobody's.
_UNFINISHED = "copies"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Needed:
    """A file or folder that a row names. One that is not ``required`` may have gone: the work is done again then."""

    path: str
    folder: bool
    required: bool = True


def needed_files(source: Connection, project_id: int, superfluous: frozenset[int]) -> Iterator[Needed]:
    """What the rows of a project name: nothing else in its folder belongs to it."""
    for name in ("students", "encoders"):
        rows = table(name)
        for path in source.execute(select(rows.c.path).where(rows.c.project_id == project_id)).scalars().all():
            yield Needed(path, folder=True)
    shards = table("feature_shards")
    for path in source.execute(select(shards.c.path).where(shards.c.project_id == project_id)).scalars().all():
        yield Needed(path, folder=False)
    jobs = table("jobs")
    for job in source.execute(select(*jobs.c).where(jobs.c.project_id == project_id)).all():
        if job.kind == "export" and job.state == "succeeded":
            yield Needed(path_of(project_id, job.id, job.attempt), folder=False)
        if job.state in ("queued", "running") and job.id not in superfluous:
            if "path" in job.payload:
                yield Needed(job.payload["path"], folder=False)
            for path in (job.checkpoint or {}).get("steps", {}).values():
                yield Needed(path, folder=False, required=False)


def folders_of(project_id: int) -> tuple[str, str]:
    """Where all files of a project lie."""
    return project_prefix(project_id), uploads_of(project_id)


def check_apart(source: Storage, target: Storage) -> None:
    """Refuse two names of one place: the ids of two databases in one storage would name each other's files.

    Raises:
        CopyRefused: what is written to one is found in the other.
    """
    probe = f"{_UNFINISHED}/probe-{secrets.token_hex(8)}"
    target.put_bytes(b"winnow", probe)
    try:
        if source.exists(probe):
            raise CopyRefused(
                "Source and target would share one storage, in which the files of one project would be taken for those "
                "of another: give the target a storage of its own with --to-storage."
            )
    finally:
        target.delete(probe)


def sweep_unfinished(target: Connection, storage: Storage) -> list[int]:
    """Delete the files of copies that were killed; gives the ids of the projects that did not come to be."""
    projects = table("projects")
    swept = []
    for mark in storage.list(_UNFINISHED):
        name = Path(mark).name
        if not name.isdecimal():
            continue
        if target.execute(select(projects.c.id).where(projects.c.id == int(name))).first() is None:
            for folder in folders_of(int(name)):
                storage.delete(folder)
            swept.append(int(name))
        storage.delete(mark)
    return swept


def missing_file(storage: Storage, project_id: int, needed: Iterable[Needed]) -> str | None:
    """A file or folder of a project that is required and not in ``storage``; None where all are there."""
    folders = folders_of(project_id)
    there = sorted(path for folder in folders for path in storage.list(folder))
    for one in needed:
        begin = f"{one.path}/" if one.folder else one.path
        place = bisect_left(there, begin)
        found = place < len(there) and (there[place].startswith(begin) if one.folder else there[place] == begin)
        if one.required and not found and one.path.startswith(tuple(f"{folder}/" for folder in folders)):
            return one.path
    return None


def not_there(path: str) -> CopyRefused:
    """The refusal for a file that the source's storage does not have."""
    return CopyRefused(
        f"{path} is not in the source's storage. Is that the right one (--from-storage)? If a server is at work on the "
        "source, it has just done with that file: run the copy again."
    )


@dataclass
class CopiedFiles:
    """How many files came, and their bytes."""

    n: int = 0
    bytes: int = 0


class FileCopy:
    """The files of one project on their way. What was written goes again with :meth:`discard`."""

    def __init__(self, source: Storage, target: Storage, carrier: Carrier) -> None:
        self._source, self._target, self._carrier = source, target, carrier
        self._mark = f"{_UNFINISHED}/{carrier.project}"
        self._begun = False
        self.copied = CopiedFiles()

    def begin(self) -> None:
        """Write down that files will come.

        Raises:
            CopyRefused: there are files already where those of the new project will lie.
        """
        folder = next((folder for folder in folders_of(self._carrier.project) if self._target.list(folder)), None)
        if folder is not None:
            raise CopyRefused(
                f"The target's storage holds files in {folder}, of which its database knows nothing. Is it another "
                "database's storage? Give --to-storage the one that belongs to the target."
            )
        self._target.put_bytes(json.dumps({"from": self._carrier.old}).encode(), self._mark)
        self._begun = True

    def copy(self, needed: Needed) -> None:
        """Copy one file, or all files of a folder, and read back what was written.

        Raises:
            CopyRefused: it is not there, or came to be another.
        """
        files = self._source.list(needed.path) if needed.folder else [needed.path]
        try:
            if not files:
                raise FileNotFoundError(needed.path)
            for file in files:
                self._copy(file)
        except FileNotFoundError:
            if needed.required:
                raise not_there(needed.path) from None

    def _copy(self, file: str) -> None:
        new = self._carrier.path(file)
        digest = hashlib.sha256()
        with self._source.open(file) as source, self._target.open(new, "wb") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
                self.copied.bytes += len(block)
        with self._target.open(new) as written:
            found = hashlib.sha256()
            while block := written.read(_BLOCK):
                found.update(block)
        if found.digest() != digest.digest():
            raise CopyRefused(f"The target's storage gives back other bytes of {new} than it was given: nothing came.")
        self.copied.n += 1

    def discard(self) -> None:
        """Delete what was written: the project did not come to be."""
        if self._begun:
            with suppress(Exception):  # the next copy clears away what could not be deleted now
                for folder in folders_of(self._carrier.project):
                    self._target.delete(folder)
                self._target.delete(self._mark)

    def finish(self) -> None:
        """The project is there, and its files are its own."""
        if self._begun:
            self._target.delete(self._mark)
