"""A real ``winnow serve`` in a folder of its own, for whatever has to be measured or shown on one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

START_SECONDS = 60.0
_ROOT = Path(__file__).resolve().parent.parent
_LAUNCH = _ROOT / "cli" / "launch.py"
_SERVE = (sys.executable, "-m", "cli.main", "serve")
STOP_SECONDS = 12.0


class ServerFailed(Exception):
    """The server did not start, or ended; the message holds what it last said."""


class RunningServer:
    """``winnow serve`` as a process of its own, on free ports. Use as a context manager.

    ``data`` is a temporary folder, gone at the end, unless given. ``email`` and ``password`` are the owner's.
    """

    def __init__(
        self,
        *,
        ui: bool = False,
        data: Path | None = None,
        environment: dict[str, str] | None = None,
        workers: int = 1,
    ) -> None:
        self._ui = ui
        self._workers = workers
        self._temporary = tempfile.TemporaryDirectory(prefix="winnow-") if data is None else None
        self.data = data if data is not None else Path(self._temporary.name if self._temporary else "")
        self._environment = environment or {}
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._listeners: list[threading.Thread] = []
        self.url = ""
        self.ui_url: str | None = None
        self.email = ""
        self.password = ""
        self.start_seconds = 0.0

    def __enter__(self) -> Self:
        arguments = ["--port", "0", "--ui-port", "0", "--data", str(self.data)]
        arguments += ["--workers", str(self._workers), *([] if self._ui else ["--no-ui"])]
        began = time.perf_counter()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}
        self._process = subprocess.Popen(
            # It dies with this process, however that ends: a benchmark that was stopped leaves no server behind.
            [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), *_SERVE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**inherited, **self._environment},
            cwd=_ROOT,
        )
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            self._listeners.append(threading.Thread(target=self._listen, args=(stream,), daemon=True))
            self._listeners[-1].start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        self.start_seconds = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> float:
        """End it as a person would, and give the seconds that it took; a second call does nothing."""
        began = time.perf_counter()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self._process.kill()
            self._process.wait()
        for listener in self._listeners:
            listener.join(1.0)
        if self._temporary is not None:
            self._temporary.cleanup()
        return time.perf_counter() - began

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> list[str]:
        """The lines that it has written so far."""
        return list(self._said)

    def part(self, name: str, seconds: float = 30.0) -> psutil.Process:
        """The running process of a part (api, worker, ui); waits for a restart that is under way."""
        marks = {"api": "cli.serve_api", "worker": "worker", "ui": "ui.main"}
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(psutil.Error):
                for child in psutil.Process(self.pid).children():
                    arguments = child.cmdline()
                    if marks[name] in arguments and "launch.py" not in " ".join(arguments):
                        return child
            time.sleep(0.01)
        raise ServerFailed(f"no {name} process within {seconds:.0f} s: {self._last_words()}")

    def processes(self) -> dict[str, psutil.Process]:
        """The supervisor and its parts, by name."""
        parts = ["api", "worker", *(["ui"] if self._ui else [])]
        return {"supervisor": psutil.Process(self.pid), **{name: self.part(name) for name in parts}}

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._said.append(line.rstrip("\n"))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        announced = self.data / "serve.json"
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                raise ServerFailed(f"the server ended: {self._last_words()}")
            with suppress(OSError, ValueError):
                where: dict[str, Any] = json.loads(announced.read_text())
                if where["pid"] == self._process.pid:
                    self.url, self.ui_url = where["url"], where["ui_url"]
                    self._read_owner()
                    return
            time.sleep(0.01)
        raise ServerFailed(f"the server did not start within {START_SECONDS:.0f} s: {self._last_words()}")

    def _read_owner(self) -> None:
        for line in self.output:
            name, _, value = line.partition(": ")
            if name == "owner":
                self.email = value
            elif name == "password":
                self.password = value

    def _last_words(self) -> str:
        return " | ".join(self._said[-5:]) or "it said nothing"
