"""A gate between forks and what must not be under way meanwhile.

A SQLite connection that is open while a process forks leaves the child with its parent's idea of who holds which lock,
and the database can stay locked for good. A lock that another thread holds stays locked in the child, where that thread
is not: the lock of the log, for example. So a process that forks keeps connections, and logs, only within
:func:`no_fork`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

_gate = threading.RLock()


def _before() -> None:
    _gate.acquire()


def _in_parent() -> None:
    _gate.release()


def _in_child() -> None:
    global _gate
    _gate = threading.RLock()


os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)


@contextmanager
def no_fork() -> Iterator[None]:
    """While this is entered, no other thread of this process forks."""
    with _gate:
        yield


class ForkSafeLogger(structlog.PrintLogger):
    """Prints to standard output, and nothing forks meanwhile: a child would wait for ever to log something itself."""

    def __init__(self, *_names: object) -> None:
        """It is its own factory, which is handed the name that a logger was asked for by."""
        super().__init__()

    def msg(self, message: str) -> None:
        """Print ``message``."""
        with no_fork():
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg
