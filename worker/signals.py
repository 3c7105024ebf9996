"""Signals that come while a process becomes another program: none is lost."""

from __future__ import annotations

import os
import signal

_VARIABLE = "_WINNOW_SIGNALS"


class SignalPipe:
    """Has each signal written into a pipe at once, whatever Python is doing, where a handler is set for it.

    ``execv`` throws away the handlers, and what they were about to do, but not the pipe.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)

    def open(self) -> set[int]:
        """Begin, in the main thread; returns the signals that came just before this process became what it is."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        inherited = os.environ.pop(_VARIABLE, None)
        if inherited is None:
            return set()
        with os.fdopen(int(inherited), "rb", buffering=0) as pipe:
            os.set_blocking(pipe.fileno(), False)
            return set(pipe.read(4096) or b"")  # None: nothing came, and another process holds the other end

    def hand_over(self) -> None:
        """Leave the pipe to the program that this process is about to become."""
        os.set_inheritable(self._reader, True)
        os.environ[_VARIABLE] = str(self._reader)
