"""A clock that only moves when it is told to, in the place of the service's."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import UTC, datetime, timedelta

import pytest

import winnow
from winnow.db.base import utcnow


class Clock:
    """The time that every module of ``winnow`` reads."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def put_in_place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the whole package read this clock; the modules took ``utcnow`` by name."""
        for module in pkgutil.walk_packages(winnow.__path__, "winnow."):
            loaded = importlib.import_module(module.name)
            if getattr(loaded, "utcnow", None) is utcnow:
                monkeypatch.setattr(loaded, "utcnow", self)
