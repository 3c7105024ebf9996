"""A wire to a server that can be cut: at once, or in the very moment between a commit and its answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


class Wire:
    """Passes connections on to a port of this machine. ``lost_answers`` counts commits whose answer was cut off."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._to_swallow = 0
        self.lost_answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def swallow_answers_to_commits(self, count: int = 1) -> None:
        """The next ``count`` commits reach the server, and their answers nobody."""
        self._to_swallow = count

    def cut(self) -> None:
        """Break all connections; new ones are broken as well."""
        self._is_cut = True
        for end in list(self._open):
            _close(end)

    def mend(self) -> None:
        """Let new connections through."""
        self._is_cut = False

    def close(self) -> None:
        """Break everything, for good."""
        self.cut()
        _close(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._is_cut:
                    _close(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {client, server}
                committed = threading.Event()
                for pump in (self._to_server, self._to_client):
                    threading.Thread(target=pump, args=(client, server, committed), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, committed: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if b"COMMIT\x00" in data and self._to_swallow:
                    self._to_swallow -= 1
                    committed.set()
                server.sendall(data)
        self._end(client, server)

    def _to_client(self, client: socket.socket, server: socket.socket, committed: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if committed.is_set():  # it has arrived, and holds
                    self.lost_answers += 1
                    break
                client.sendall(data)
        self._end(client, server)

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            self._open.discard(end)
            _close(end)


def _close(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def wired(url: str) -> Iterator[tuple[Wire, str]]:
    """A wire to the database server of ``url``, and the URL that leads through it."""
    parsed = make_url(url)
    wire = Wire(parsed.port or 5432)
    try:
        yield wire, parsed.set(host="127.0.0.1", port=wire.port).render_as_string(hide_password=False)
    finally:
        wire.close()
