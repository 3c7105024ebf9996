"""The real API and the real UI process, on free ports, for tests that drive a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from worker.app import body_of
from worker.base import Runtime, run_job

START_SECONDS = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ApiServer:
    """An application behind a real server that can be stopped and started again at the same address."""

    def __init__(self, app: FastAPI):
        self.app = app
        self.port = free_port()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        config = uvicorn.Config(
            self.app, port=self.port, log_config=None, access_log=False, timeout_graceful_shutdown=2
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server is not None and self._server.started, "the API has started")

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._server = self._thread = None


class InlineWorker:
    """Does jobs of some kinds in a thread, through the worker's own way of claiming and ending them."""

    def __init__(self, runtime: Runtime, kinds: frozenset[str]):
        self._runtime = runtime
        self._kinds = kinds
        self._pool = ThreadPoolExecutor(max_workers=1)

    def hint(self, kind: str, job_id: int) -> None:
        if kind in self._kinds:
            self._pool.submit(run_job, self._runtime, kind, job_id, body_of(kind))

    def stop(self) -> None:
        self._pool.shutdown()


class UiProcess:
    """``python -m ui.main`` as the supervisor runs it."""

    def __init__(self, api_url: str, folder: Path):
        self.port = free_port()
        self.entry_dir = folder / "entry"
        self.entry_dir.mkdir()
        self._log = (folder / "ui.log").open("wb")
        environ = {
            **os.environ,
            "WINNOW_API_URL": api_url,
            "WINNOW_UI_PORT": str(self.port),
            "WINNOW_UI_HOST": "127.0.0.1",
            "WINNOW_ENTRY_DIR": str(self.entry_dir),
            "HOME": str(folder),  # nobody's own Streamlit settings
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ui.main"], env=environ, stdout=self._log, stderr=subprocess.STDOUT
        )
        wait_until(self._answers, "the UI answers")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the UI process has ended"
        try:
            return httpx.get(f"{self.url}/_stcore/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(10)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait(10)
            self._log.close()


def wait_until(condition: object, what: str, seconds: float = START_SECONDS) -> None:
    """Poll until ``condition()`` is true; fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.02)
