"""Log files that do not grow without bound."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO

MAX_BYTES = 10 << 20
KEPT = 3


class LogFile:
    """A file that is set aside as ``NAME.1`` (up to ``NAME.3``) when it passes ``max_bytes``."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._file = path.open("ab")
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        """Append ``data``, starting a new file first when this one is full."""
        with self._lock:
            if self._file.tell() + len(data) > self._max_bytes and self._file.tell() > 0:
                self._rotate()
            self._file.write(data)
            self._file.flush()

    def last_line(self) -> str:
        """The last line that is not blank, for an error message."""
        tail = self.path.read_bytes()[-4096:].decode(errors="replace")
        return next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def _rotate(self) -> None:
        self._file.close()
        for n in range(self._kept - 1, 0, -1):
            older = self._numbered(n)
            if older.exists():
                older.replace(self._numbered(n + 1))
        self.path.replace(self._numbered(1))
        self._file = self.path.open("ab")

    def _numbered(self, n: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{n}")


def copy_to_log(source: IO[bytes], log: LogFile) -> threading.Thread:
    """Copy everything that ``source`` gives to ``log``, in a thread that ends with it."""

    def copy() -> None:
        with source:
            while data := os.read(source.fileno(), 65536):
                log.write(data)

    thread = threading.Thread(target=copy, name=f"log {log.path.name}", daemon=True)
    thread.start()
    return thread
