"""A private RabbitMQ."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.servers.process import PrivateServer, ServerMissing, find_program, free_port

_FOLDERS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/homebrew/sbin"), Path("/usr/local/sbin"))


class RabbitMQ(PrivateServer):
    """RabbitMQ from where Debian puts it or from the path, with a port mapper and a cookie of its own."""

    name = "RabbitMQ"
    account = "rabbitmq"

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._mapper_port, self._distribution_port = free_port(), free_port()

    @property
    def url(self) -> str:
        """The broker URL."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def _prepare(self) -> None:
        (self.folder / "rabbitmq.conf").write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        (self.folder / "enabled_plugins").write_text("[].\n")

    def _command(self) -> Sequence[str]:
        epmd = shutil.which("epmd")
        if epmd is None:
            raise ServerMissing("epmd is not on this machine (install rabbitmq-server)")
        # Not on the path first: Debian's program there switches accounts and writes to the system's log folder.
        program = next((str(f / "rabbitmq-server") for f in _FOLDERS if (f / "rabbitmq-server").is_file()), None)
        program = program or find_program("rabbitmq-server", [], "rabbitmq-server", None)
        mapper = [epmd, "-port", str(self._mapper_port), "-address", "127.0.0.1"]
        self._helpers.append(self._spawn(mapper, {}))  # else the server would start one that outlives it
        return [program]

    def _environment(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder),
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"winnow{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            # The start script then becomes the server: else it stays as its parent, and the server outlives it.
            "RUNNING_UNDER_SYSTEMD": "1",
        }

    def _answers(self) -> bool:
        """It greets who speaks its protocol only when it is ready."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            connection.settimeout(5)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
        return False
