"""Where the files of an attempt lie: under paths that bear it, so that one that was overtaken overwrites nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from winnow.storage import Storage, project_prefix

Purpose = Literal["students", "exports", "encoders", "features", "scratch"]
#: What a job leaves once: the folders of its other attempts hold nothing that anybody points to.
_ONE_ATTEMPT: tuple[Purpose, ...] = ("students", "exports", "encoders")


def folder(project_id: int, purpose: Purpose, job_id: int, attempt: int) -> str:
    """The folder of one attempt's files."""
    return f"{project_prefix(project_id)}/{purpose}/{job_id}-{attempt}"


def put_folder(storage: Storage, local: Path, path: str) -> None:
    """Copy all files of the folder ``local`` to ``path``."""
    for file in sorted(local.rglob("*")):
        if file.is_file():
            storage.put_file(file, f"{path}/{file.relative_to(local).as_posix()}")


def local_folder(storage: Storage, path: str) -> Path:
    """A folder of this machine with the files at ``path``; FileNotFoundError if there are none."""
    files = storage.list(path)
    if not files:
        raise FileNotFoundError(path)
    for file in files:
        found = storage.local(file)
    return found.parents[files[-1].removeprefix(f"{path}/").count("/")]


def sweep(storage: Storage, project_id: int, job_id: int, attempt: int, *, published: bool) -> None:
    """Delete what a job that has ended left behind: its scratch files, and those of attempts that published nothing.

    ``attempt`` is the last one; ``published`` says whether it succeeded.
    """
    for number in range(1, attempt + 1):
        storage.delete(folder(project_id, "scratch", job_id, number))
        if number < attempt or not published:
            for purpose in _ONE_ATTEMPT:
                storage.delete(folder(project_id, purpose, job_id, number))
