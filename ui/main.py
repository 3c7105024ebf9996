"""The UI process: one ASGI application with the pages, the doors and ``/v1``, served by uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvicorn
from starlette.middleware import Middleware
from streamlit import App, config

from ui.doors import make_routes
from ui.gate import Gate
from ui.proxy import PassOn, make_http
from ui.settings import UiSettings, hand_in

SCRIPT = Path(__file__).with_name("app.py")

_OPTIONS: dict[str, Any] = {
    "global.developmentMode": False,
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.showEmailPrompt": False,
    "server.enableStaticServing": False,
    "server.enableAgentApi": False,
    # Nothing is uploaded through Streamlit (files go to /v1), and the gate checks every Origin: its own token cookie,
    # which scripts can read, would guard nothing more.
    "server.maxUploadSize": 1,
    "server.enableXsrfProtection": False,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.showSidebarNavigation": False,
    "logger.level": "warning",
    "logger.hideWelcomeMessage": True,
    "theme.font": "sans-serif",
    "theme.baseRadius": "0.6rem",
    "theme.paddingTop": "1rem",
    "theme.metricValueFontSize": "1.7rem",
    "theme.headingFontSizes": ["2.1rem", "1.6rem", "1.3rem", "1.15rem", "1rem", "0.9rem"],
    "theme.light.primaryColor": "#2f6f4f",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f5f2",
    "theme.light.textColor": "#1d2420",
    "theme.light.borderColor": "#dbe0da",
    "theme.dark.primaryColor": "#4f9d76",
    "theme.dark.backgroundColor": "#14181a",
    "theme.dark.secondaryBackgroundColor": "#1e2426",
    "theme.dark.textColor": "#e8ece9",
    "theme.dark.borderColor": "#343c3e",
}


def build_app(settings: UiSettings) -> App:
    """The ASGI application of the UI."""
    hand_in(settings)
    config.get_config_options(force_reparse=True, options_from_flags=dict(_OPTIONS))
    http = make_http()

    @asynccontextmanager
    async def lifespan(_app: App) -> AsyncIterator[dict[str, Any] | None]:
        try:
            yield None
        finally:
            await http.aclose()

    return App(
        SCRIPT,
        lifespan=lifespan,
        routes=make_routes(settings, http),
        middleware=[Middleware(Gate, settings=settings, pass_on=PassOn(settings, http))],
    )


def run(
    host: str | None = None,
    port: int | None = None,
    api_url: str | None = None,
    entry_dir: Path | None = None,
) -> None:
    """Serve the UI until SIGTERM or Ctrl-C; what is not given comes from the environment."""
    settings = UiSettings.from_environment()
    given = {"host": host, "port": port, "api_url": api_url, "entry_dir": entry_dir}
    settings = replace(settings, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    uvicorn.run(
        build_app(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=8 << 20,
        timeout_graceful_shutdown=2,
        timeout_keep_alive=30,
    )


if __name__ == "__main__":
    run()
