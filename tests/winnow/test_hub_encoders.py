"""The operator's registry of encoders, and which of them a project may name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from winnow.errors import Invalid
from winnow.hub_encoders import HubEntry, names_for, task_of
from winnow.project_settings import validate_settings
from winnow.settings import Settings

HUB = {
    "bert": HubEntry(source="/models/bert", task="text"),
    "vit": HubEntry(source="/models/vit", task="image"),
    "what": HubEntry(source="/models/what"),
}


def test_the_registry_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"small": "org/small", "e5": {"source": "/m/e5", "pooling": "mean", "prefix": "query: ", "task": "text"}}
    monkeypatch.setenv("WINNOW_HF_ENCODERS", json.dumps(entries))
    settings = Settings()
    assert settings.hf_encoders == {
        "small": HubEntry(source="org/small"),
        "e5": HubEntry(source="/m/e5", pooling="mean", prefix="query: ", task="text"),
    }
    assert settings.hf_download is False


@pytest.mark.parametrize(
    "entries",
    [
        {"a b": "x"},
        {"../a": "x"},
        {"a" * 41: "x"},
        {"a": ""},
        {"a": {"pooling": "mean"}},
        {"a": {"source": "x", "pooling": "max"}},
        {"a": {"source": "x", "trust_remote_code": True}},
        {"a": {"source": "x", "max_tokens": 1}},
        {"a": {"source": "x", "task": "features"}},
        {"a": {"source": "x", "languages": ["English"]}},
        {"a": {"source": "x", "languages": "en"}},
    ],
)
def test_an_entry_that_cannot_be_is_refused_at_the_start(entries: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(hf_encoders=entries)


def test_the_task_is_what_the_operator_says_else_what_the_folder_tells(tmp_path: Path) -> None:
    entry = HubEntry(source=str(tmp_path))
    assert task_of(entry) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert task_of(entry) == "text"
    (tmp_path / "preprocessor_config.json").write_text("{}")
    assert task_of(entry) is None
    (tmp_path / "tokenizer.json").unlink()
    assert task_of(entry) == "image"
    assert task_of(HubEntry(source=str(tmp_path), task="text")) == "text"
    assert names_for("text", HUB) == ("hf:bert", "hf:what")
    assert names_for("image", HUB) == ("hf:vit", "hf:what")
    assert names_for("features", HUB) == ()


def test_a_project_names_what_is_registered_for_its_task() -> None:
    for task, name in (("text", "hf:bert"), ("text", "hf:what"), ("image", "hf:vit"), ("image", "hf:what")):
        assert validate_settings({"encoder": name}, task, hub=HUB)["encoder"] == name


@pytest.mark.parametrize(
    ("task", "name", "says"),
    [
        ("text", "hf:other", "encoder must be one of auto, minilm, hashed, hf:bert, hf:what."),
        ("text", "hf:vit", "hf:vit reads image items, this project has text"),
        ("image", "hf:bert", "hf:bert reads text items, this project has image"),
        ("features", "hf:what", "encoder must be one of auto, none"),
        ("text", "hf:/models/bert", "must be one of"),
        ("text", "bert", "must be one of"),
        ("text", ["hf:bert"], "must be one of"),
    ],
)
def test_what_is_not_is_refused_with_what_there_is(task: str, name: Any, says: str) -> None:
    with pytest.raises(Invalid) as raised:
        validate_settings({"encoder": name}, task, hub=HUB)
    assert says in str(raised.value)
    assert [error.loc for error in raised.value.errors] == [("body", "settings", "encoder")]


def test_a_project_keeps_its_encoder_when_the_registry_shrinks() -> None:
    before = validate_settings({"encoder": "hf:bert"}, "text", hub=HUB)
    assert validate_settings({"encoder": "hf:bert", "overlap": 2}, "text", before)["encoder"] == "hf:bert"
    with pytest.raises(Invalid):
        validate_settings({"encoder": "hf:what"}, "text", before)
