"""A server process of one's own: started on a free port of the loopback, killed hard, started again, measured."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02


class ServerMissing(Exception):
    """The program is not on this machine; the message says what to install."""


class ServerDied(Exception):
    """It did not start, or ended; the message holds the end of its log."""


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PrivateServer:
    """What the servers have in common. Use as a context manager, or :meth:`start` and :meth:`stop`.

    Start it from a thread that lives on: on Linux it is killed when the thread that started it ends. ``folder`` holds
    its state (temporary, and gone after :meth:`stop`, unless given); the port stays the same from start to start.
    """

    #: What it is called in messages, and the account that it runs as when root starts it (where there is one).
    name = "server"
    account: str | None = None
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path | None = None) -> None:
        # Not in a test's own folder: an account of the server's own could not look into it.
        self._temporary = Path(tempfile.mkdtemp(prefix=f"winnow-{self.name.lower()}-")) if folder is None else None
        self.folder: Path = folder if folder is not None else Path(self._temporary or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._spent = 0.0
        self._prepared = False
        self._user: pwd.struct_passwd | None = None
        if os.geteuid() == 0 and self.account is not None:
            with suppress(KeyError):
                self._user = pwd.getpwnam(self.account)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        raise NotImplementedError

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "server.log"

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, as it was left, and wait until it answers.

        Raises:
            ServerMissing: the program is not there.
            ServerDied: it does not start.
        """
        if self.alive:
            return
        try:
            if not self._prepared:
                self._prepare()
                self._own()
                self._prepared = True
            self._process = self._spawn(self._command(), self._environment())
            deadline = time.monotonic() + START_SECONDS
            while not self._answers():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServerDied(f"{self.name} did not start: {self._last_words()}")
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """SIGKILL to all of its processes at once; its folder stays as it is."""
        self._spent += self._seconds_now()
        if self.alive and self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # or it would start others while its own are being counted
        tree = self._tree()
        for pid in [*(process.pid for process in tree), *(process.pid for process in self._helpers)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        psutil.wait_procs(tree[1:], STOP_SECONDS)
        for started in [self._process, *self._helpers]:
            if started is not None:
                started.wait(STOP_SECONDS)
        self._process, self._helpers = None, []

    def stop(self) -> None:
        """End it in order; the temporary folder goes. A second call does nothing."""
        if self.alive and self._process is not None:
            self._process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def processes(self) -> list[psutil.Process]:
        """Its living processes."""
        return self._tree()

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far, ended ones included, in seconds."""
        return self._spent + self._seconds_now()

    # What a server fills in

    def _prepare(self) -> None:
        """Make its folder ready, once."""

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    # For them to use

    def _spawn(self, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._as_account(command, die_with_parent=True),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**_plain_environment(), **environment},
                start_new_session=True,
            )

    def _run(self, command: Sequence[str]) -> None:
        done = subprocess.run(
            self._as_account(command), capture_output=True, cwd=self.folder, env=_plain_environment(), check=False
        )
        if done.returncode != 0:
            raise ServerDied(f"{command[0]}: {done.stderr.decode(errors='replace').strip()}")

    def _as_account(self, command: Sequence[str], *, die_with_parent: bool = False) -> list[str]:
        setpriv = shutil.which("setpriv")
        if setpriv is None:  # not Linux: the account is ours, and stop() must do
            return list(command)
        options = ["--pdeathsig", "KILL"] if die_with_parent else []
        if self._user is not None:
            options += ["--reuid", str(self._user.pw_uid), "--regid", str(self._user.pw_gid), "--clear-groups"]
        return [setpriv, *options, "--", *command] if options else list(command)

    def _own(self) -> None:
        if self._user is not None:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            if self._process is not None and self._process.poll() is None:
                root = psutil.Process(self._process.pid)
                return [root, *root.children(recursive=True)]
        return []

    def _seconds_now(self) -> float:
        """Of the living, and of those that the living have buried."""
        spent = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        return spent

    def _last_words(self) -> str:
        with suppress(OSError):
            return " | ".join(self.log.read_text(errors="replace").splitlines()[-5:]) or "it said nothing"
        return "it said nothing"


def _plain_environment() -> dict[str, str]:
    """This process's environment without what would lead a server astray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "RABBITMQ_", "WINNOW_"))}


def find_program(name: str, folders: Sequence[Path], package: str, wheel: Path | None) -> str:
    """The program ``name`` on the path, else in one of ``folders`` (the last first), else in an installed ``wheel``.

    Raises:
        ServerMissing: it is nowhere; ``package`` is what brings it.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    for folder in [*sorted(folders, reverse=True), *([wheel] if wheel is not None else [])]:
        if (folder / name).is_file():
            return str(folder / name)
    raise ServerMissing(f"{name} is not on this machine (install {package})")
