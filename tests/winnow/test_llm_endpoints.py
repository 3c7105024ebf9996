"""The operator's registry of language models, and which projects may name them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cli.errors import CommandError
from cli.options import load_settings
from winnow.errors import Invalid
from winnow.llm_endpoints import LlmEndpoint, names_for
from winnow.project_settings import validate_settings
from winnow.settings import Settings

LLM = {"local": LlmEndpoint(url="http://127.0.0.1:8080/v1", model="m")}
GOOD = {"url": "https://api.example.org/v1", "model": "m"}


def test_without_a_registry_there_is_no_language_model() -> None:
    assert Settings().llm_endpoints == {}


def test_the_registry_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {**GOOD, "url": "https://api.example.org/v1/", "api_key_env": "MY_KEY", "price_in": 0.15, "currency": "EUR"}
    monkeypatch.setenv("WINNOW_LLM_ENDPOINTS", json.dumps({"far": entry}))
    monkeypatch.setenv("MY_KEY", "sk-1")
    far = Settings().llm_endpoints["far"]
    assert (far.url, far.host, far.price_in, far.currency) == (
        "https://api.example.org/v1",
        "api.example.org",
        0.15,
        "EUR",
    )
    assert (far.items_per_round, far.votes, far.logprobs, far.price_out) == (50, 1, True, 0.0)
    assert far.key() == "sk-1"
    monkeypatch.delenv("MY_KEY")
    assert far.key() is None


@pytest.mark.parametrize(
    "entry",
    [
        {"model": "m"},
        {"url": "https://h/v1"},
        {**GOOD, "url": "ftp://h/v1"},
        {**GOOD, "url": "h/v1"},
        {**GOOD, "url": "https://user:secret@h/v1"},
        {**GOOD, "url": "https://h/v1?key=secret"},
        {**GOOD, "api_key": "sk-1"},
        {**GOOD, "api_key_env": "sk-1"},
        {**GOOD, "price_in": -1},
        {**GOOD, "currency": "dollars"},
        {**GOOD, "votes": 0},
        {**GOOD, "concurrency": 0},
        {**GOOD, "timeout": 0},
        {**GOOD, "items_per_round": 0},
        {**GOOD, "project_cost": 0},
        {**GOOD, "extra": {"stream": True}},
        {**GOOD, "max_tokens_name": "n"},
    ],
)
def test_an_entry_that_cannot_be_is_refused_at_the_start(entry: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(llm_endpoints={"far": entry})
    with pytest.raises(ValidationError):
        Settings(llm_endpoints={"a b": GOOD})


def test_a_key_that_stands_where_its_name_should_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ({"api_key_env": "sk-very-secret"}, {"api_key": "sk-very-secret"}):
        monkeypatch.setenv("WINNOW_LLM_ENDPOINTS", json.dumps({"far": {**GOOD, **wrong}}))
        with pytest.raises(ValidationError) as raised:
            Settings()
        assert "sk-very-secret" not in str(raised.value)
        with pytest.raises(CommandError) as shown:
            load_settings()
        assert "WINNOW_LLM_ENDPOINTS.far" in str(shown.value)
        assert "sk-very-secret" not in str(shown.value)


@pytest.mark.parametrize(
    ("url", "here", "encrypted"),
    [
        ("http://localhost:1/v1", True, True),
        ("http://127.0.0.1/v1", True, True),
        ("http://[::1]:8080/v1", True, True),
        ("http://10.0.0.7/v1", False, False),
        ("http://llm/v1", False, False),
        ("https://localhost.example.org/v1", False, True),
    ],
)
def test_it_is_known_whether_texts_leave_the_machine_and_how(url: str, here: bool, encrypted: bool) -> None:
    endpoint = LlmEndpoint(url=url, model="m")
    assert (endpoint.on_this_machine, endpoint.encrypted) == (here, encrypted)


def test_a_project_of_texts_may_name_what_is_registered() -> None:
    assert names_for("text", LLM) == ("llm:local",)
    assert names_for("image", LLM) == names_for("features", LLM) == ()
    wanted = {"teacher": "llm:local", "budget": {"llm_cost": 2.5, "llm_calls": 100}}
    complete = validate_settings(wanted, "text", llm=LLM)
    assert {name: complete[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("task", "name", "says"),
    [
        ("text", "llm:other", ", finetuned-last, llm:local; the operator registers language models with"),
        ("text", "llm:", "WINNOW_LLM_ENDPOINTS"),
        ("text", "local", ", finetuned-last, llm:local."),
        ("text", ["llm:local"], "must be one of"),
        ("image", "llm:local", "must be one of auto, logistic; language models read texts, this project has image"),
        ("features", "llm:local", "language models read texts, this project has features"),
    ],
)
def test_what_is_not_there_is_refused_with_what_there_is(task: str, name: Any, says: str) -> None:
    with pytest.raises(Invalid) as raised:
        validate_settings({"teacher": name}, task, llm=LLM)
    assert says in str(raised.value)
    assert [error.loc for error in raised.value.errors] == [("body", "settings", "teacher")]


def test_a_project_keeps_its_teacher_when_the_registry_shrinks() -> None:
    before = validate_settings({"teacher": "llm:local"}, "text", llm=LLM)
    assert validate_settings({"teacher": "llm:local", "overlap": 2}, "text", before)["teacher"] == "llm:local"
    with pytest.raises(Invalid):
        validate_settings({"teacher": "llm:other"}, "text", before)
