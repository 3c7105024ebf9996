"""Rounds of the service of which a language model is a part: asked over HTTP, paid for once, written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.servers.llm import Asked, LlmServer
from tests.worker.service import Service, truth
from winnow import rounds, stats
from winnow.db.tables import Project
from winnow.llm_endpoints import LlmEndpoint
from winnow.projects import update_project


@pytest.fixture
def database_kind() -> str:
    """One is enough here: what is kept is tested on each in ``tests/winnow/test_llm_answers.py``."""
    return "sqlite"


def right(asked: Asked) -> Mapping[str, float]:
    """Always right, and rather sure."""
    return {"spam": 0.9, "ham": 0.1} if truth(asked.text) == "spam" else {"spam": 0.1, "ham": 0.9}


def with_endpoint(service: Service, server: LlmServer, **options: Any) -> Service:
    """The same service, whose operator has registered the server as ``llm:made``."""
    entry = LlmEndpoint(url=server.url, model="made-1", items_per_round=12, price_in=1.0, price_out=2.0, **options)
    return replace(service, settings=service.settings.model_copy(update={"llm_endpoints": {"made": entry}}))


def test_a_round_asks_learns_and_writes_down_what_it_cost(service: Service) -> None:
    with LlmServer(right) as server:
        service = with_endpoint(service, server)
        project = service.make_project(80, holdout=False, batch_size=20)
        with service.database.write() as session:
            wanted = {"teacher": "llm:made", "budget": {"llm_calls": 20}}
            update_project(session, project, settings=wanted, llm=service.settings.llm_endpoints)
        service.work()
        service.label(project, 20)
        assert set(service.work()) == {"succeeded"}
        with service.database.read() as session:
            first = rounds.get_round(session, project, 1)
        llm = first.metrics["llm"]
        assert (llm["name"], llm["questions"], llm["answers"], llm["stopped"]) == ("llm:made", 12, 12, None)
        assert llm["accuracy"]["value"] == 1.0
        assert server.requests == 12
        assert first.costs["llm"] == llm["usage"] == llm["spent"]
        assert first.costs["cpu_seconds"] > 0
        labelled = service.standing(project)
        with service.database.write() as session:
            rounds.request_round(session, session.get_one(Project, project), forced=True)
        assert set(service.work()) == {"succeeded"}
        assert server.requests == len(set(server.texts())) == 20
        with service.database.read() as session:
            second = rounds.get_round(session, project, 2)
            ledger = stats.project_stats(session, session.get_one(Project, project))["ledger"]["llm"]
        assert second.metrics["llm"]["stopped"] == "the budget of 20 calls is spent"
        assert second.promoted
        assert second.costs["llm"]["calls"] == 8
        assert (ledger["calls"], ledger["answered"]) == (20, 20)
        assert ledger["cost"]["USD"] == pytest.approx(second.metrics["llm"]["spent"]["cost"])
        assert ledger["cost"]["USD"] > first.costs["llm"]["cost"] > 0
        assert service.standing(project) == labelled  # an answer is no label
