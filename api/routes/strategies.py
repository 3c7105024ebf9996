"""Query strategies: what a project's setting may name."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import Me
from api.schemas.strategy import StrategyList, StrategyOut
from winnow.peer_strategies import installed_peers
from winnow.project_settings import STRATEGIES

router = APIRouter(prefix="/strategies", tags=["strategies"])


@router.get("")
def list_strategies(_me: Me) -> StrategyList:
    """The query strategies to choose from: ours, then those of other libraries that are installed where this runs."""
    return StrategyList(data=[StrategyOut.of(name) for name in (*STRATEGIES, *installed_peers())], next=None)
