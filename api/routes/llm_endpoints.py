"""Language models that the operator has registered."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Me, SettingsDep
from api.schemas.llm_endpoint import LlmEndpointList, LlmEndpointOut

router = APIRouter(prefix="/llm-endpoints", tags=["projects"])


@router.get("")
def list_llm_endpoints(_me: Me, settings: SettingsDep) -> LlmEndpointList:
    """What `teacher` may name for projects of texts, where each sends them, and what it costs. None is the default."""
    found = sorted(settings.llm_endpoints.items())
    return LlmEndpointList(data=[LlmEndpointOut.of(name, endpoint) for name, endpoint in found], next=None)
