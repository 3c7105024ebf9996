"""Being told to stop: no signal is lost, not even one that comes while a process becomes another program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_WAKE_UP = signal.SIGUSR1


class StopSignals:
    """Takes SIGTERM and SIGINT in a thread of its own, and from no other place.

    They are blocked in every thread, so that what comes while nobody waits for it stays pending. ``execv`` keeps both:
    the signals that are blocked, and those that are pending; handlers it would throw away, and what they were about to
    do.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        """``told`` is called in the thread for each signal."""
        self._told = told
        self._thread = threading.Thread(target=self._wait, name="winnow-signals", daemon=True)

    def open(self) -> None:
        """Begin, in the main thread, before there is any other: threads inherit which signals are blocked."""
        for number in STOP_SIGNALS:  # where a thread was there before, and takes it
            signal.signal(number, lambda *_: self._told())
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS | {_WAKE_UP})
        self._thread.start()

    def close(self) -> None:
        """Take no more signals: those that come now are for the program that this process is about to become."""
        if self._thread.ident is not None:
            signal.pthread_kill(self._thread.ident, _WAKE_UP)
            self._thread.join()

    def _wait(self) -> None:
        while signal.sigwait(STOP_SIGNALS | {_WAKE_UP}) in STOP_SIGNALS:
            self._told()
