"""Forks while another thread logs: no child is left with a lock that nobody will ever release."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, sys, threading
import structlog
from winnow.forking import ForkSafeLogger

structlog.configure(logger_factory=ForkSafeLogger)
log = structlog.get_logger(__name__)

def talk():
    while True:
        log.info("x" * 4_000)

threading.Thread(target=talk, daemon=True).start()
for _ in range(100):
    child = os.fork()
    if child == 0:
        log.info("a child")
        os._exit(0)
    os.waitpid(child, 0)
os._exit(0)
"""


def test_a_child_can_log_whatever_its_parent_logged_as_it_forked() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CODE], stdout=subprocess.PIPE, timeout=60, check=True
    )
    assert done.stdout.count(b"a child") == 100
