"""A real API over SQLite, the real UI process, and a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from api.app import create_app
from client import Client, Project
from tests.ui.servers import ApiServer, InlineWorker, UiProcess
from winnow import users
from winnow.db.base import Base
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage
from worker.base import Runtime

OWNER = ("owner@example.org", "correct horse battery")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "/usr/bin/chromium")
_FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-features=OptimizationHints,MediaRouter,Translate,AutofillServerCommunication",
)


_told: list[str] = []


@pytest.fixture
def tell() -> Callable[[str], None]:
    """``tell(text)`` puts a measured figure under the run's summary."""
    return _told.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(line)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ApiServer, Database]]:
    settings = Settings(data=tmp_path_factory.mktemp("data"), reaper_seconds=0.2)
    database = Database(settings.resolved_database_url)
    Base.metadata.create_all(database.engine)
    with database.write() as session:
        users.create_user(session, *OWNER, "owner")
    storage = Storage(settings.resolved_storage_url, settings.cache_folder)
    # What is asked for on the pages runs; encoding waits for ever: labeling must not.
    worker = InlineWorker(
        Runtime(settings, database, storage, "inline"), frozenset({"import", "label-rest", "label-undo"})
    )
    app = create_app(settings, database=database, storage=storage, send_hint=worker.hint)
    server = ApiServer(app)
    server.start()
    yield server, database
    server.stop()
    worker.stop()
    database.dispose()


@pytest.fixture
def api_server(served: tuple[ApiServer, Database]) -> ApiServer:
    return served[0]


@pytest.fixture
def database(served: tuple[ApiServer, Database]) -> Database:
    return served[1]


@pytest.fixture(scope="module")
def ui(served: tuple[ApiServer, Database], tmp_path_factory: pytest.TempPathFactory) -> Iterator[UiProcess]:
    process = UiProcess(served[0].url, tmp_path_factory.mktemp("ui"))
    yield process
    process.stop()


@pytest.fixture(scope="package")  # an idle one takes a tenth of a core from the tests after these
def browser() -> Iterator[Browser]:
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium on this machine (apt-get install chromium)"
        if os.environ.get("WINNOW_TEST_REQUIRE") == "all":
            pytest.fail(reason)
        pytest.skip(reason)
    expect.set_options(timeout=30_000)  # a deadline, not a wait: a busy machine must not fail a test
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 800})
    opened.set_default_timeout(30_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, ui: UiProcess) -> Iterator[Page]:
    """A page that fails the test when a script of it fails, the policy blocks something, or it asks anybody else."""
    wrong: list[str] = []
    opened = context.new_page()
    opened.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    opened.on(
        "console", lambda message: wrong.append(message.text) if "Content Security Policy" in message.text else None
    )
    own = (ui.url, ui.url.replace("http", "ws"), "blob:", "data:")
    opened.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(own) else None)
    yield opened
    assert wrong == []


@pytest.fixture
def owner(api_server: ApiServer) -> Iterator[Client]:
    """The owner, past the UI: straight at the API."""
    with Client(api_server.url) as client:
        client.sign_in(*OWNER)
        yield client


@pytest.fixture
def enter(context: BrowserContext, ui: UiProcess, owner: Client) -> None:
    """Signs the browser in as the owner: the session cookie, as the sign-in route sets it."""
    answer = httpx.post(
        f"{ui.url}/auth/sign-in",
        json={"email": OWNER[0], "password": OWNER[1]},
        headers={"Origin": ui.url},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    (name,) = answer.cookies
    context.add_cookies(
        [{"name": name, "value": answer.cookies[name], "url": ui.url, "httpOnly": True, "sameSite": "Strict"}]
    )


@pytest.fixture
def make_project(owner: Client) -> Callable[..., Project]:
    """``make_project(texts, labels)`` makes a text project with those items."""

    def make(texts: list[str], labels: tuple[str, ...] = ("spam", "ham", "other"), **settings: object) -> Project:
        project = owner.create_project("mail", "text", labels, settings={"holdout": False, **settings})
        for start in range(0, len(texts), 1000):
            added = owner.add_items(project.id, [{"text": text} for text in texts[start : start + 1000]])
            assert not added.rejected
        return project

    return make


@pytest.fixture
def write_entry(ui: UiProcess) -> Callable[[str, dict[str, object]], Path]:
    """``write_entry(name, entry)`` leaves a one-time entry as ``winnow label`` does."""

    def write(name: str, entry: dict[str, object]) -> Path:
        path = ui.entry_dir / name
        path.touch(mode=0o600)
        path.write_text(json.dumps(entry))
        return path

    return write
