"""Where the files of an attempt lie: under paths that bear it, so that one that was overtaken overwrites nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from winnow.storage import Storage, project_prefix

Purpose = Literal["students", "exports", "encoders", "features", "scratch"]


def folder(project_id: int, purpose: Purpose, job_id: int, attempt: int) -> str:
    """The folder of one attempt's files."""
    return f"{project_prefix(project_id)}/{purpose}/{job_id}-{attempt}"


def put_folder(storage: Storage, local: Path, path: str) -> None:
    """Copy all files of the folder ``local`` to ``path``."""
    for file in sorted(local.rglob("*")):
        if file.is_file():
            storage.put_file(file, f"{path}/{file.relative_to(local).as_posix()}")


@contextmanager
def local_folder(storage: Storage, path: str) -> Iterator[Path]:
    """A folder of this machine with the files at ``path``, for the block; FileNotFoundError if there are none."""
    files = storage.list(path)
    if not files:
        raise FileNotFoundError(path)
    with ExitStack() as held:
        for file in files:
            found = held.enter_context(storage.local(file))
        yield found.parents[files[-1].removeprefix(f"{path}/").count("/")]
