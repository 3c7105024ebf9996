"""Classifiers that the operator has registered: of scikit-learn, by a name that projects may use for their teacher."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PREFIX = "sklearn:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_PATH = re.compile(r"sklearn(\.[A-Za-z][A-Za-z0-9_]*)+|modAL\.models\.(ActiveLearner|Committee)")


class ClassifierEntry(BaseModel):
    """One registered classifier: a class of scikit-learn, or a learner of modAL around such, and its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    path: str = Field(alias="class", description="A dotted path, as sklearn.ensemble.RandomForestClassifier.")
    params: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments; entries may be nested.")

    def to_dict(self) -> dict[str, Any]:
        """As recipes hold it: ``{"class", "params"}``."""
        return self.model_dump(by_alias=True)


def _entry(given: Any) -> Any:
    return {"class": given} if isinstance(given, str) else given


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 40 letters, digits, dots, underscores and hyphens")
    return name


def _checked(entry: ClassifierEntry) -> ClassifierEntry:
    for path in (entry.path, *_paths(entry.params)):
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise ValueError(
                f"{path!r} is no class of scikit-learn (sklearn.…) and not modAL.models.ActiveLearner or Committee"
            )
    return entry


def _paths(value: Any) -> list[Any]:
    """The classes that nested entries name."""
    if isinstance(value, Mapping):
        own = [value["class"]] if "class" in value else []
        return own + [path for one in value.values() for path in _paths(one)]
    return [path for one in value for path in _paths(one)] if isinstance(value, list | tuple) else []


ClassifierEntries = dict[
    Annotated[str, AfterValidator(_name)],
    Annotated[ClassifierEntry, BeforeValidator(_entry), AfterValidator(_checked)],
]


def classifier_names(entries: Mapping[str, ClassifierEntry]) -> tuple[str, ...]:
    """What a project may name, as ``sklearn:NAME``."""
    return tuple(f"{PREFIX}{name}" for name in sorted(entries))


def classifier_of(teacher: str, entries: Mapping[str, ClassifierEntry]) -> dict[str, Any] | None:
    """The entry that a setting ``sklearn:NAME`` stands for, as plain values; None for another teacher, or without one.

    >>> classifier_of("lexical", {}) is None
    True
    """
    entry = entries.get(teacher.removeprefix(PREFIX)) if teacher.startswith(PREFIX) else None
    return None if entry is None else entry.to_dict()
