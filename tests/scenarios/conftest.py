from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from bench.annotators import sign_in
from bench.server import RunningServer


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """A real ``winnow serve`` with pages, on free ports, in a folder of its own."""
    with RunningServer(ui=True) as running:
        yield running


@pytest.fixture(scope="module")
def owner(server: RunningServer) -> Iterator[httpx.Client]:
    """The owner, signed in over HTTP."""
    with sign_in(server.url, server.email, server.password) as client:
        yield client
