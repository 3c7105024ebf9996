"""The API process of ``winnow serve``.

Its socket comes from the supervisor: while this process is being restarted, callers wait in the queue of the socket
instead of being refused.
"""

from __future__ import annotations

import argparse
import socket
import sys

import uvicorn

from api.app import create_app
from api.envelope import log_to_stderr
from winnow.settings import Settings


def main() -> None:
    """Load everything, wait until standard input ends (the database is ready then), and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    listener = socket.socket(fileno=parser.parse_args().fd)
    sys.stdin.read()
    log_to_stderr()
    config = uvicorn.Config(
        create_app(Settings()),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=65,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
