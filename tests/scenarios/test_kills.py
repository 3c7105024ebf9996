"""A small run of the kill scenario: every part of every deployment killed, twice, in an order drawn from a seed."""

from __future__ import annotations

import random

import pytest

from bench.annotators import sign_in
from bench.scenarios.kills.__main__ import demands_of
from bench.scenarios.kills.cell import run_cell
from bench.scenarios.kills.deployments import DEPLOYMENTS, deployed
from bench.servers.process import ServerMissing
from tests.conftest import RanOn

KILLS = 2
SEED = 20
pytestmark = [pytest.mark.kill, pytest.mark.slow]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_nothing_is_lost_whatever_is_killed(name: str, ran_on: RanOn, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        with deployed(name) as deployment:
            for server in (deployment.database, deployment.broker):
                ran_on(f"{server.name}, started here" if server is not None else "SQLite")
            # A process that stands still takes as long as a lease each time: that is for the full run.
            victims = [part for part in deployment.parts if part != "stopped"] * KILLS
            random.Random(SEED).shuffle(victims)
            with sign_in(deployment.server.url, deployment.server.email, deployment.server.password) as owner:
                row = run_cell(deployment, owner, "each", victims, SEED)
    except ServerMissing as missing:
        pytest.skip(str(missing))
    said = capsys.readouterr().err
    assert [what for what, held in demands_of([row], len(victims)).items() if not held] == [], said
    assert row["acknowledged"] > 0
    assert row["jobs"] > 0
