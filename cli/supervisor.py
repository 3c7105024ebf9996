"""API, worker and UI under one roof: started together, restarted when one dies, ended together within ten seconds.

The supervisor does little and knows little, so that it does not fail: it holds the API's socket, the data folder's lock
and the pipes of the logs. A worker that died has its jobs given back at once.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from cli.child import Child
from cli.console import emit, say
from cli.errors import CommandError
from cli.instance import Instance
from cli.logs import LogFile
from cli.ports import free_port, listen, url
from winnow.settings import Settings

SOFT_STOP_SECONDS = 7.0
START_SECONDS = 60.0
DATABASE_SECONDS = 60.0
_DATABASE_POLL_SECONDS = 0.5
#: A part that dies this often before the service was ever ready will not get better by itself.
FAILED_STARTS = 3
_TICK_SECONDS = 0.05


@dataclass(frozen=True)
class Endpoints:
    """Where the service answers. ``ui`` is None when no pages are served."""

    api: str
    ui: str | None


class Supervisor:
    """Runs the service of one data folder in the foreground.

    ``settings.port`` and ``settings.ui_port`` may be 0: any free port. ``on_ready`` is called in a thread of its own
    once all parts answer; what it raises ends the service.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        workers: int = 1,
        ui: bool = True,
        on_ready: Callable[[Endpoints], None] | None = None,
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._with_ui = ui
        self._on_ready = on_ready
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._children: list[Child] = []
        self._ready = False

    def stop(self) -> None:
        """Ask it to end; safe from any thread and from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Serve until SIGTERM, Ctrl-C or :meth:`stop`.

        Raises:
            CommandError: a port is taken, the folder is served already, or a part does not start.
        """
        with ExitStack() as stack:
            instance = stack.enter_context(Instance(self._settings.data.absolute()))
            listener = stack.enter_context(listen(self._settings.host, self._settings.port, "--port"))
            ui_port = free_port(self._settings.host, self._settings.ui_port, "--ui-port") if self._with_ui else 0
            self._settings = self._settings.model_copy(
                update={"data": self._settings.data.absolute(), "port": listener.getsockname()[1], "ui_port": ui_port}
            )
            self._catch_signals(stack)
            stack.callback(self._end_children)
            self._serve(instance, listener)
        if self._failure is not None:
            raise self._failure

    def _serve(self, instance: Instance, listener: socket.socket) -> None:
        where = Endpoints(
            url(self._settings.host, self._settings.port),
            url(self._settings.host, self._settings.ui_port) if self._with_ui else None,
        )
        api = self._api(listener)
        api.start()  # loads itself while the database is made ready
        self._prepare()
        api.open_gate()
        for child in (*([self._worker()] if self._workers else []), *([self._ui(where)] if self._with_ui else [])):
            child.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping.wait(_TICK_SECONDS):
            self._restart_the_dead()
            if not self._ready and self._answers():
                self._ready = True
                self._announce(instance, where)
            elif not self._ready and time.monotonic() > deadline:
                raise CommandError(f"the service did not start: see {self._settings.data / 'logs'}")

    # The parts

    def _api(self, listener: socket.socket) -> Child:
        listener.set_inheritable(True)
        arguments = [sys.executable, "-m", "cli.serve_api", "--fd", str(listener.fileno())]
        return self._child("api", arguments, pass_fds=(listener.fileno(),), gate=True)

    def _worker(self) -> Child:
        return self._child("worker", [sys.executable, "-m", "cli.main", "worker", "--concurrency", str(self._workers)])

    def _ui(self, where: Endpoints) -> Child:
        return self._child(
            "ui",
            [sys.executable, "-m", "ui.main"],
            WINNOW_UI_HOST=self._settings.host,
            WINNOW_API_URL=where.api,
            WINNOW_ENTRY_DIR=str(entry_folder(self._settings.data)),
        )

    def _child(
        self, name: str, arguments: list[str], *, pass_fds: tuple[int, ...] = (), gate: bool = False, **environment: str
    ) -> Child:
        root = Path(__file__).resolve().parent.parent
        path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH", "")]))
        child = Child(
            name,
            arguments,
            {
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONUNBUFFERED": "1",
                "WINNOW_DATA": str(self._settings.data),
                "WINNOW_HOST": self._settings.host,
                "WINNOW_PORT": str(self._settings.port),
                "WINNOW_UI_PORT": str(self._settings.ui_port),
                **environment,
            },
            LogFile(self._settings.data / "logs" / f"{name}.log"),
            pass_fds=pass_fds,
            gate=gate,
        )
        self._children.append(child)
        return child

    # The life of the service

    def _prepare(self) -> None:
        """Bring the database up to date, look at the storage, and make the owner at the first start."""
        from cli.database import opened
        from winnow.users import ensure_owner

        entry_folder(self._settings.data).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._look_at_storage()
        self._look_at_broker()
        self._wait_for_database()
        with opened(self._settings) as database, database.write() as session:
            owner = ensure_owner(session, self._settings.owner_email, self._settings.owner_password)
        if owner is not None:
            email, password = owner
            if self._settings.owner_password and self._settings.environment == "production":
                password = "(from WINNOW_OWNER_PASSWORD)"  # noqa: S105 - production output ends up in log archives
            emit(f"owner: {email}")
            emit(f"password: {password}")

    def _look_at_storage(self) -> None:
        """Refuse to start with a storage that will never do. One that does not answer now may come up later."""
        if self._settings.storage_url is None:
            return
        from winnow.errors import StorageUnavailable
        from winnow.storage import Storage

        try:
            Storage.of(self._settings).check()
        except StorageUnavailable as error:
            if error.lasting:
                raise CommandError(error.reason) from None
            say(f"winnow: {error.reason} Labeling works; imports, rounds and downloads wait for it.")

    def _look_at_broker(self) -> None:
        """Say what is wrong with the broker. That is no reason not to start: workers find their work without it."""
        if self._settings.broker_url is None:
            return
        from winnow.broker_connection import complaint, introduction

        try:
            introduction(self._settings.broker_url, patience=1.0)
        except Exception as error:  # what the transports raise has nothing in common
            say(f"winnow: {complaint(self._settings.broker_url, error)} Work begins a second later until it can be.")

    def _wait_for_database(self) -> None:
        """Give a server that starts together with this one, or is just being restarted, a minute."""
        from cli.database import existing
        from winnow.db.outage import outage_of
        from winnow.db.server import explained

        deadline = time.monotonic() + DATABASE_SECONDS
        said = False
        while True:
            try:
                with explained(self._settings.resolved_database_url), existing(self._settings) as database:
                    database.engine.connect().close()
                return
            except Exception as error:
                lasting = outage_of(error) is None or getattr(error, "lasting", False)
                if lasting or self._stopping.is_set() or time.monotonic() > deadline:
                    raise
                if not said:
                    said = True
                    say(f"winnow: waiting up to {DATABASE_SECONDS:.0f} s for the database. {error}")
            self._stopping.wait(_DATABASE_POLL_SECONDS)

    def _restart_the_dead(self) -> None:
        for child in self._children:
            pid = child.pid
            was = child.process.pid if child.process is not None else None
            ending = child.reap() if pid is None else None
            if ending is not None and was is not None:
                self._give_up_if_hopeless(child)
                say(f"winnow: {child.name} {ending}; starting it again (see {child.log.path})")
                if child.name == "worker":  # in a thread: a database that is away must not hold up the other parts
                    threading.Thread(target=self._give_back_jobs, args=(was,), daemon=True).start()
            if child.process is None and time.monotonic() >= child.start_at and child.start_at > 0:
                child.start()

    def _give_up_if_hopeless(self, child: Child) -> None:
        if not self._ready and child.deaths >= FAILED_STARTS:
            raise CommandError(f"{child.name} does not start: {child.log.last_line()} (see {child.log.path})")

    def _give_back_jobs(self, pid: int) -> None:
        from cli.database import existing
        from winnow.jobs import release_worker
        from winnow.workers import worker_name

        try:
            with existing(self._settings) as database, database.write() as session:
                release_worker(session, worker_name(pid))
        except Exception as error:  # the leases run out by themselves: never a reason to end the service
            reason = str(error).partition("\n")[0]
            say(f"winnow: the jobs of the dead worker wait until they are missed: {reason}")

    def _answers(self) -> bool:
        ports = [(self._settings.port, "/healthz")]
        if self._with_ui:
            ports.append((self._settings.ui_port, "/"))
        return all(_answers(self._settings.host, port, path) for port, path in ports)

    def _announce(self, instance: Instance, where: Endpoints) -> None:
        instance.announce(url=where.api, ui_url=where.ui)
        pages = f"pages {where.ui} · " if where.ui else ""
        say(f"winnow: ready: {pages}API {where.api} · data {self._settings.data} · Ctrl-C ends it")
        if self._on_ready is not None:
            threading.Thread(target=self._run_on_ready, args=(self._on_ready, where), daemon=True).start()

    def _run_on_ready(self, on_ready: Callable[[Endpoints], None], where: Endpoints) -> None:
        try:
            on_ready(where)
        except BaseException as error:
            self._failure = error
            self.stop()

    # The end

    def _catch_signals(self, stack: ExitStack) -> None:
        def note(number: int, _frame: object) -> None:
            if self._stopping.is_set() and number == signal.SIGINT:
                for child in self._children:  # pressed twice: no more patience
                    child.kill()
            self.stop()

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, note))

    def _end_children(self) -> None:
        for child in self._children:
            child.gate = False
            child.terminate()
        deadline = time.monotonic() + SOFT_STOP_SECONDS
        for child in self._children:
            if not child.wait(deadline):
                say(f"winnow: {child.name} did not end by itself and was killed")
            child.kill()
            child.wait(deadline + 1)
            child.open_gate()  # nobody waits at it any more
            child.log.close()


def entry_folder(data: Path) -> Path:
    """Where one-time entries for the pages are left."""
    return data / "entry"


def _answers(host: str, port: int, path: str) -> bool:
    host = "127.0.0.1" if host in ("0.0.0.0", "") else "::1" if host == "::" else host  # noqa: S104 - asked, not bound
    connection = http.client.HTTPConnection(host, port, timeout=2)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status < 500
    return False
