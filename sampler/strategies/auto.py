"""The default."""

from __future__ import annotations

from sampler.coldstart import is_cold
from sampler.query import QueryContext, Ranking
from sampler.strategies.herding import rank_herding
from sampler.strategies.registry import strategy
from sampler.strategies.typiclust import rank_typiclust
from sampler.strategies.uncertainty_herding import rank_uncertainty_herding

MANY_CLASSES = 20
"""From so many classes on the first labels go to as many clusters as there are labels: herding meets fewer classes."""


@strategy("auto")
def rank_auto(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Cover the pool; once the model knows something, cover what it doubts."""
    if ctx.probabilities is not None and not is_cold(ctx.y, ctx.n_classes):
        return rank_uncertainty_herding(ctx, size, seed)
    if ctx.n_classes >= MANY_CLASSES:
        return rank_typiclust(ctx, size, seed)
    return rank_herding(ctx, size, seed)
