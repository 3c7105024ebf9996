"""Fixtures for jobs that are done in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.worker.service import Service
from winnow import users
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage


@pytest.fixture(autouse=True)
def no_loop_of_a_browser() -> Iterator[None]:
    """Tests of pages that ran before in this process leave the loop of their browser running; a worker has none."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(loop)


@pytest.fixture
def service(settings: Settings, database: Database, storage: Storage) -> Service:
    """A service without an API and without worker processes."""
    with database.write() as session:
        user = users.add_user(session, users.NewUser("owner@example.org", "owner", "!", None))
        return Service(settings, database, storage, user.id)
