"""One supervisor for each data folder, and where others find it."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.errors import CommandError


class Instance:
    """The right to serve a data folder: a lock that goes with the process, and ``serve.json`` that says where."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._lock = -1

    def __enter__(self) -> Self:
        self._data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = os.open(self._data / "serve.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            where = running(self._data)
            at = f" at {where['url']}" if where else ""
            raise CommandError(f"a server already runs on {self._data}{at}: stop it, or use another --data") from None
        self._forget()  # left by one that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        os.close(self._lock)

    def announce(self, **where: Any) -> None:
        """Write ``serve.json``, all of it at once."""
        new = self._data / "serve.json.new"
        new.write_text(json.dumps({"pid": os.getpid(), **where}))
        new.replace(self._data / "serve.json")

    def _forget(self) -> None:
        with suppress(FileNotFoundError):
            (self._data / "serve.json").unlink()


def running(data: Path) -> dict[str, Any] | None:
    """What the server on ``data`` announced, if one is up."""
    try:
        answer: dict[str, Any] = json.loads((data / "serve.json").read_text())
    except (OSError, ValueError):
        return None
    return answer
