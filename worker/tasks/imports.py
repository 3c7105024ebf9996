"""Importing: the rows of an uploaded file become items."""

from __future__ import annotations

from winnow.importing.run import run_import
from winnow.jobs import JobContext
from worker.base import Runtime


def run(runtime: Runtime, context: JobContext) -> None:
    """Read on from where the last attempt stopped, to the end of the file."""
    run_import(runtime.database, runtime.storage, runtime.settings, context)
