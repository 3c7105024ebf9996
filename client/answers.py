"""What the service answers, as plain values. Unknown fields are dropped: the contract grows by addition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """A JSON object of the contract, read leniently: unknown fields are dropped, missing ones take their default."""

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Self:
        """Make the value from a decoded JSON object; raises TypeError where a required field is missing."""
        names = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in names})


@dataclass(frozen=True)
class Token(Answer):
    """A session token; ``expires_in`` is in seconds."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the scheme's name, not a secret
    expires_in: float = 0.0


@dataclass(frozen=True)
class Me(Answer):
    """Who the token stands for. ``must_change_password`` is true while the generated first password is in use."""

    id: str
    email: str
    role: str = "member"
    must_change_password: bool = False


@dataclass(frozen=True)
class NewToken(Answer):
    """An API token; ``token`` is shown this once."""

    id: str
    name: str
    token: str


@dataclass(frozen=True)
class NewUser(Answer):
    """A user just made; ``password`` is there when it was generated, shown this once."""

    id: str
    email: str
    role: str = "member"
    password: str | None = None


@dataclass(frozen=True)
class Project(Answer):
    """A project. ``labels`` are ``{name, description, hotkey, color}``; ``settings`` are complete.

    ``role`` is the caller's; ``counts`` are ``{items, labeled, remaining}``.
    """

    id: str
    name: str
    task: str
    labels: list[dict[str, Any]] = field(default_factory=list)
    guidelines: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    role: str | None = None
    created_at: str | None = None
    archived_at: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in order."""
        return [str(label["name"]) for label in self.labels]


@dataclass(frozen=True)
class Job(Answer):
    """A piece of work at the server: ``state`` is queued, running, succeeded, failed or canceled; progress 0 to 1."""

    id: str
    kind: str
    state: str
    progress: float = 0.0
    message: str = ""
    attempt: int = 0
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether it ended, well or not."""
        return self.state in {"succeeded", "failed", "canceled"}


@dataclass(frozen=True)
class Batch(Answer):
    """Items leased to the caller, in rank order. ``remaining`` counts items that still need labels."""

    items: list[dict[str, Any]]
    ranked_by: dict[str, Any]
    remaining: int


@dataclass(frozen=True)
class Accepted(Answer):
    """What became of labels: ``accepted`` ``[{item, id}]`` and ``rejected`` ``[{item, reason}]``."""

    accepted: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


@dataclass(frozen=True)
class Added(Answer):
    """What became of items: ``rejected`` is ``[{index, reason}]``."""

    created: int
    duplicates: int
    rejected: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list; ``next`` is the cursor of the following one, None on the last."""

    data: list[T]
    next: str | None
