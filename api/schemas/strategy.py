"""Query strategies."""

from __future__ import annotations

from pydantic import BaseModel, Field

from winnow.peer_strategies import LIBRARIES


class StrategyOut(BaseModel):
    """One that the setting ``strategy`` may name."""

    name: str
    library: str | None = Field(description="The module of another library that it comes from; null for ours.")

    @classmethod
    def of(cls, name: str) -> StrategyOut:
        """By its name, which tells its library."""
        prefix, colon, _ = name.partition(":")
        return cls(name=name, library=LIBRARIES[prefix] if colon else None)


class StrategyList(BaseModel):
    """All of them, in one page."""

    data: list[StrategyOut]
    next: None
