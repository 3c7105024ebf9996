"""Encoders that the operator has registered: models of the transformers library, by a name that projects may use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "hf:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_CODE = re.compile(r"[a-z]{2,3}")
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json")
_PREPROCESSOR = "preprocessor_config.json"


def _code(code: str) -> str:
    if not _CODE.fullmatch(code):
        raise ValueError("a language is named by its code, such as en")
    return code


LanguageCode = Annotated[str, AfterValidator(_code)]


class HubEntry(BaseModel):
    """One registered model: where it is, and how its output becomes one vector for each item."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, description="A folder on the workers' machines, or an id of the hub.")
    task: Literal["text", "image"] | None = Field(None, description="What it reads; found out where not given.")
    pooling: Literal["auto", "mean", "cls", "pooled"] = "auto"
    max_tokens: int | None = Field(None, ge=8, le=32_768)
    prefix: str = Field("", max_length=1000, description="Put in front of every text.")
    languages: list[LanguageCode] | None = Field(
        None, description="Codes (ISO 639) of what it was trained on; without them nobody is warned of others."
    )
    revision: str | None = Field(None, description="Commit, tag or branch, of a model of the hub.")


def _entry(given: Any) -> Any:
    return {"source": given} if isinstance(given, str) else given


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 40 letters, digits, dots, underscores and hyphens")
    return name


HubEntries = dict[Annotated[str, AfterValidator(_name)], Annotated[HubEntry, BeforeValidator(_entry)]]


def task_of(entry: HubEntry) -> str | None:
    """``text`` or ``image``: what the operator says it reads, else what its folder tells; None where neither does."""
    if entry.task is not None:
        return entry.task
    folder = Path(entry.source).expanduser()
    reads_text = any((folder / name).is_file() for name in _TOKENIZERS)
    reads_images = (folder / _PREPROCESSOR).is_file()
    if reads_text == reads_images:
        return None
    return "text" if reads_text else "image"


def names_for(task: str, entries: Mapping[str, HubEntry]) -> tuple[str, ...]:
    """What a project of a task may name, as ``hf:NAME``; those of which the task is not known included."""
    if task == "features":
        return ()
    return tuple(f"{PREFIX}{name}" for name, entry in sorted(entries.items()) if task_of(entry) in (task, None))
