"""Whether the service lives and can work."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part by name: ``ok``, or what is wrong with it in a word."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]
