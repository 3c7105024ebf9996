"""Temporary folders of jobs: on this machine, named after the process that made them, so that none outlives it long."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from winnow.settings import Settings
from winnow.workers import is_gone, worker_name

#: A folder of another machine (or of a container that is gone) that nobody has touched for so long is rubbish.
_DAY = 86_400.0
_MARK = "~"


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """An empty folder that is gone after the block; if this process dies in it, :func:`sweep_scratch` takes it."""
    place = _place(settings)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{worker_name()}{_MARK}", dir=place) as folder:
        yield Path(folder)


def sweep_scratch(settings: Settings) -> list[Path]:
    """Delete the folders of processes that are gone; returns them."""
    place = _place(settings)
    folders = list(place.iterdir()) if place.is_dir() else []
    dead = [folder for folder in folders if is_gone(folder.name.partition(_MARK)[0]) or _is_old(folder)]
    for folder in dead:
        shutil.rmtree(folder, ignore_errors=True)
    return dead


def _place(settings: Settings) -> Path:
    return settings.cache_folder / "scratch"


def _is_old(folder: Path) -> bool:
    try:
        return time.time() - folder.stat().st_mtime > _DAY
    except FileNotFoundError:
        return False
