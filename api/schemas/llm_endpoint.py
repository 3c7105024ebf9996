"""Language models: what a project's setting may name, and where it sends texts."""

from __future__ import annotations

from pydantic import BaseModel, Field

from winnow.llm_endpoints import PREFIX, LlmEndpoint


class LlmEndpointOut(BaseModel):
    """What the setting ``teacher`` of a project of texts may name; neither key nor whole address is told."""

    name: str
    model: str
    host: str = Field(description="Where the texts of a project that names it are sent.")
    on_this_machine: bool = Field(description="Whether they stay on the machine that the worker runs on.")
    encrypted: bool = Field(description="Whether nobody can read them on the way.")
    price_in: float = Field(description="Of a million tokens that are sent, in `currency`.")
    price_out: float = Field(description="Of a million tokens that are answered.")
    currency: str
    project_cost: float | None = Field(description="Most that one project may cost here, in `currency`.")
    items_per_round: int

    @classmethod
    def of(cls, name: str, endpoint: LlmEndpoint) -> LlmEndpointOut:
        """From the operator's registry."""
        told = {field: getattr(endpoint, field) for field in cls.model_fields if field != "name"}
        return cls(name=f"{PREFIX}{name}", **told)


class LlmEndpointList(BaseModel):
    """All of them, in one page."""

    data: list[LlmEndpointOut]
    next: None
