"""Waiting for jobs and writing files, for the commands that speak to a server."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import typer

from cli.console import Progress
from cli.errors import CommandError
from client import Client, Job


def parse_mapping(text: str | None) -> dict[str, str] | None:
    """The ``--mapping`` option.

    Raises:
        BadParameter: it is not a JSON object of strings.
    """
    if text is None:
        return None
    try:
        mapping = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="--mapping") from None
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise typer.BadParameter('a JSON object of column names is needed, as {"text": "body"}', param_hint="--mapping")
    return mapping


def wait(client: Client, job: Job, what: str) -> dict[str, Any]:
    """Wait for a job with a progress bar, and give its result; raises JobFailed if it has none."""
    bar = Progress()
    try:
        done = client.wait_job(job, on_progress=lambda now: bar.update(now.progress, now.message or what))
    finally:
        bar.close()
    return done.result or {}


@contextmanager
def writing(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears under its name only when all of it is there."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if not out.absolute().parent.is_dir():
        raise CommandError(f"{out.parent} is not a folder")
    handle, name = tempfile.mkstemp(dir=out.absolute().parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(out)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
