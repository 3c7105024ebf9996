"""The clock of the machines, and how they are run: the same every time, or at random and for long."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import HealthCheck

from tests.properties.clock import Clock
from winnow import holdout

hypothesis.settings.register_profile(
    "winnow",
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
hypothesis.settings.register_profile("winnow-long", hypothesis.settings.get_profile("winnow"), derandomize=False)


@pytest.fixture(autouse=True)
def small_holdout(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of a few items has a holdout already, whose share changes as the pool grows."""
    monkeypatch.setattr(holdout, "LEAST_ITEMS", 2)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still, read by every module of the service."""
    made = Clock()
    made.put_in_place(monkeypatch)
    return made
