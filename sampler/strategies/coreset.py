"""Core-set selection: greedy k-center (Sener & Savarese 2018)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.kcenter import k_center
from sampler.query import QueryContext, Ranking
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_points, diverse_rows, sample


@strategy("coreset")
def _coreset(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Greedy k-center on what is not covered."""
    positions = sample(ctx, seed, diverse_rows(size))
    points = ctx.points(ctx.candidates[positions])
    covered = covered_points(ctx, seed)
    picks, radii = k_center(points, covered, size)
    typical = float(np.median(radii)) if len(radii) else 0.0
    why = [reasons.CORNER if radius > 1.1 * typical else reasons.FILLS_IN for radius in radii]
    if len(why):
        why[0] = reasons.NOTHING_LIKE_IT if len(covered) else reasons.FIRST
    return completed(ctx, [positions[picks]], [radii], why, size, seed)
