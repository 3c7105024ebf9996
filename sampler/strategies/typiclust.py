"""TypiClust (Hacohen, Dekel & Weinshall 2022): where to begin without a model."""

from __future__ import annotations

from sampler import reasons
from sampler.coldstart import typiclust
from sampler.query import QueryContext, Ranking
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_points, sample


@strategy("typiclust")
def rank_typiclust(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """TypiClust on what is not covered."""
    positions = sample(ctx, seed)
    points = ctx.points(ctx.candidates[positions])
    weights = None if ctx.weights is None else ctx.weights[positions]
    picks, scores, opened = typiclust(
        points,
        covered_points(ctx, seed),
        min(size, len(points)),
        batch_size=ctx.batch_size,
        seed=seed,
        weights=weights,
    )
    why = [reasons.UNCOVERED if new else reasons.COVERED for new in opened]
    return completed(ctx, [positions[picks]], [scores], why, size, seed)
