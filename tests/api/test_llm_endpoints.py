"""Language models over HTTP: which there are, and which projects may name them."""

from __future__ import annotations

import httpx
import pytest
from fastapi import FastAPI

from tests.api.conftest import make_project
from winnow.llm_endpoints import LlmEndpoint

FAR = LlmEndpoint(
    url="https://api.example.org/secret/path/v1", model="m", api_key_env="MY_KEY", price_in=0.15, price_out=0.6
)


@pytest.fixture
def registered(app: FastAPI) -> None:
    """The operator has registered ``llm:far``."""
    app.state.settings = app.state.settings.model_copy(update={"llm_endpoints": {"far": FAR}})


def test_without_a_registry_there_are_none(owner: httpx.Client) -> None:
    assert owner.get("/llm-endpoints").json() == {"data": [], "next": None}


def test_they_are_listed_with_where_texts_go_and_without_what_is_secret(registered: None, owner: httpx.Client) -> None:
    answer = owner.get("/llm-endpoints")
    [entry] = answer.json()["data"]
    assert entry == {
        "name": "llm:far", "model": "m", "host": "api.example.org", "on_this_machine": False, "encrypted": True,
        "price_in": 0.15, "price_out": 0.6, "currency": "USD", "project_cost": None, "items_per_round": 50,
    }  # fmt: skip
    assert "MY_KEY" not in answer.text
    assert "secret" not in answer.text


def test_one_may_be_named_with_a_budget_and_no_other(registered: None, owner: httpx.Client) -> None:
    settings = {"teacher": "llm:far", "budget": {"llm_cost": 5, "llm_calls": 1000}}
    made = make_project(owner, settings=settings)
    assert {name: made["settings"][name] for name in settings} == settings
    other = make_project(owner)
    changed = owner.patch(f"/projects/{other['id']}", json={"settings": {"teacher": "llm:far"}})
    assert changed.json()["settings"]["teacher"] == "llm:far"
    for teacher in ("llm:other", "llm:https://elsewhere.example.org/v1"):
        answer = owner.patch(f"/projects/{other['id']}", json={"settings": {"teacher": teacher}})
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert error["loc"] == ["body", "settings", "teacher"]
        assert "llm:far" in error["msg"].partition(";")[0].split(", ")


def test_the_ledger_of_a_project_says_what_they_cost(registered: None, owner: httpx.Client) -> None:
    made = make_project(owner, settings={"teacher": "llm:far"})
    assert owner.get(f"/projects/{made['id']}/stats").json()["ledger"]["llm"]["cost"] == {}
