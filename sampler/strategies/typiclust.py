"""TypiClust (Hacohen, Dekel & Weinshall 2022): where to begin without a model."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.coldstart import typiclust
from sampler.query import QueryContext, Ranking
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_rows, sample


@strategy("typiclust")
def rank_typiclust(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """TypiClust on what is not covered."""
    positions = sample(ctx, seed)
    everything = ctx.points(np.concatenate([ctx.candidates[positions], covered_rows(ctx, seed)]))
    weights = None if ctx.weights is None else ctx.weights[positions]
    picks, scores, opened = typiclust(
        everything, len(positions), size, batch_size=ctx.batch_size, seed=seed, weights=weights
    )
    why = [reasons.UNCOVERED if new else reasons.COVERED for new in opened]
    return completed(ctx, [positions[picks]], [scores], why, size, seed)
