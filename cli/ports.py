"""Ports: taken before anything is started, so that a clash is said at once and in one line."""

from __future__ import annotations

import socket

from cli.errors import CommandError

BACKLOG = 2048


def listen(host: str, port: int, option: str) -> socket.socket:
    """A socket that listens on ``host:port`` (0: any free port).

    Raises:
        CommandError: the port is taken or the address is not of this machine; ``option`` is what to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandError(f"{host} is no address to listen on: {error.strerror or error}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CommandError(
            f"port {port} on {host} cannot be used ({error.strerror}): choose another with {option} PORT"
        ) from None
    return listener


def free_port(host: str, port: int, option: str) -> int:
    """``port`` if nobody has it, or any free one for 0; for a program that opens its own socket.

    Raises:
        CommandError: the port is taken.
    """
    with listen(host, port, option) as listener:
        return int(listener.getsockname()[1])


def url(host: str, port: int) -> str:
    """The address for a browser on this machine."""
    if host in ("0.0.0.0", "::", ""):  # noqa: S104 - said, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
