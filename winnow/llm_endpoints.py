"""Language models that the operator has registered: endpoints that speak OpenAI's protocol, by a name for projects."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

PREFIX = "llm:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What a request says by itself: ``extra`` must not say otherwise.
_OURS = {"model", "messages", "n", "stream", "temperature", "max_tokens", "max_completion_tokens"} | {
    *("logprobs", "top_logprobs", "tools", "functions")
}


class LlmEndpoint(BaseModel):
    """One registered model: where it answers, what it costs, and how much a round may ask of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(description="Up to and without /chat/completions.")
    model: str = Field(min_length=1, max_length=200)
    api_key_env: str | None = Field(None, description="The name of the variable that holds the key, never the key.")
    price_in: float = Field(0.0, ge=0, le=1e6, description="Of a million tokens that are sent.")
    price_out: float = Field(0.0, ge=0, le=1e6, description="Of a million tokens that are answered.")
    currency: str = Field("USD", pattern="^[A-Z]{3}$")
    project_cost: float | None = Field(None, gt=0, description="Most that one project may cost here.")
    items_per_round: int = Field(50, ge=1, le=5_000)
    doubted: float = Field(0.5, ge=0, le=1, description="Of them, the share that the head doubts most.")
    examples: int = Field(8, ge=0, le=64)
    max_text_chars: int = Field(4_000, ge=100, le=100_000)
    logprobs: bool = True
    top_logprobs: int = Field(20, ge=1, le=20)
    votes: int = Field(1, ge=1, le=25)
    temperature: float = Field(0.7, gt=0, le=2)
    max_tokens: int = Field(8, ge=1, le=4_096)
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    timeout: float = Field(60.0, gt=0, le=600, description="Seconds that one answer may take.")
    concurrency: int = Field(4, ge=1, le=64)
    retries: int = Field(4, ge=0, le=10)
    round_seconds: float = Field(120.0, gt=0, le=3_600, description="Seconds that a round spends asking, at most.")
    extra: dict[str, Any] = Field(default_factory=dict, description="Further fields of each request.")

    @field_validator("url")
    @classmethod
    def _checked_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must begin with http:// or https:// and name a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError("url must hold no user and no password: name the key's variable in api_key_env")
        if parts.query or parts.fragment:
            raise ValueError("url must end before ? and #")
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("api_key_env")
    @classmethod
    def _checked_variable(cls, name: str | None) -> str | None:
        if name is not None and not _VARIABLE.fullmatch(name):
            raise ValueError("api_key_env is the name of an environment variable, never the key itself")
        return name

    @field_validator("extra")
    @classmethod
    def _checked_extra(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if ours := sorted(_OURS & set(extra)):
            raise ValueError(f"extra must leave {', '.join(ours)} alone")
        return extra

    @property
    def host(self) -> str:
        """The host, with its port where one is given: where texts are sent to."""
        parts = urlsplit(self.url)
        return parts.netloc

    @property
    def on_this_machine(self) -> bool:
        """Whether it is a loopback address: nothing leaves the machine."""
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def encrypted(self) -> bool:
        """Whether what is sent can be read on the way by nobody."""
        return self.url.startswith("https://") or self.on_this_machine

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """What so many tokens cost, in ``currency``.

        >>> LlmEndpoint(url="http://localhost/v1", model="m", price_in=0.5, price_out=2.0).cost(1_000_000, 500_000)
        1.5
        """
        return (tokens_in * self.price_in + tokens_out * self.price_out) / 1e6

    def key(self) -> str | None:
        """The key, out of the environment of this process; None where none is asked for, or the variable is empty."""
        return (os.environ.get(self.api_key_env) or None) if self.api_key_env else None


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("a name has up to 40 letters, digits, dots, underscores and hyphens")
    return name


LlmEndpoints = dict[Annotated[str, AfterValidator(_name)], LlmEndpoint]


def names_for(task: str, endpoints: Mapping[str, LlmEndpoint]) -> tuple[str, ...]:
    """What a project of a task may name as its teacher, as ``llm:NAME``: language models read texts."""
    return tuple(f"{PREFIX}{name}" for name in sorted(endpoints)) if task == "text" else ()
