"""One supervised process: started in a group of its own, stopped softly, restarted with patience."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.logs import LogFile, copy_to_log

_LAUNCH = Path(__file__).with_name("launch.py")
#: A process that lived for less than this died of its own, and the next one has to wait longer.
SHORT_LIFE_SECONDS = 3.0
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0


@dataclass
class Child:
    """A program that should run: what it is, and how it is doing.

    ``pass_fds`` stay open in it. ``gate`` keeps its standard input open until :meth:`open_gate`, for a program that
    loads itself and then waits for a word.
    """

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    log: LogFile
    pass_fds: Sequence[int] = ()
    gate: bool = False
    clock: Callable[[], float] = time.monotonic
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    deaths: int = field(default=0, init=False)
    short_lives: int = field(default=0, init=False)
    start_at: float = field(default=0.0, init=False)
    _started_at: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Start it. Its descendants can be killed by its group, and it dies with this process."""
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *self.arguments],
            stdin=subprocess.PIPE if self.gate else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(self.environment),
            pass_fds=tuple(self.pass_fds),
            start_new_session=True,
        )
        if self.process.stdout is not None:
            copy_to_log(self.process.stdout, self.log)
        self._started_at = self.clock()

    def open_gate(self) -> None:
        """Let a program that waits on its standard input go on."""
        self.gate = False
        if self.process is not None and self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self.process.pid if self.process is not None and self.process.poll() is None else None

    def reap(self) -> str | None:
        """How it ended, if it has; then nothing of its group is left and ``start_at`` says when to start again."""
        if self.process is None or self.process.poll() is None:
            return None
        code = self.process.returncode
        self.kill()
        lived = self.clock() - self._started_at
        self.short_lives = self.short_lives + 1 if lived < SHORT_LIFE_SECONDS else 0
        self.deaths += 1
        self.start_at = self.clock() + self._patience()
        self.process = None
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _patience(self) -> float:
        if self.short_lives <= 1:
            return 0.0
        return float(min(FIRST_WAIT_SECONDS * 2.0 ** (self.short_lives - 2), LONGEST_WAIT_SECONDS))

    def terminate(self) -> None:
        """Ask it to end. Only itself: what it has started is its own to stop."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.terminate()

    def kill(self) -> None:
        """End it and everything in its group, now."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self, deadline: float) -> bool:
        """Whether it ended before ``deadline`` (by the clock)."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(deadline - self.clock(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True
