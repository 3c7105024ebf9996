"""The server of the API's tests, and a place for what was counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.api.conftest import (  # noqa: F401 — fixtures
    api,
    app,
    client,
    hints,
    owner,
    owner_token,
    shared_server,
    sign_up,
    url,
)

_told: list[str] = []


@pytest.fixture
def tell() -> Callable[[str], None]:
    """``tell(text)`` puts a counted figure under the run's summary."""
    return _told.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(line)
