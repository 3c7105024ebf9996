"""ProbCover: as many of the pool as possible within a radius of a label (Yehuda et al. 2022)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.auto_constants import COVER_ROWS
from sampler.coverage import greedy_cover, pure_radius
from sampler.diversity import nearest_distances
from sampler.query import QueryContext, Ranking
from sampler.strategies.herding import exact_picks
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_points, sample
from sampler.symmetric import Symmetric


@strategy("probcover")
def rank_probcover(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """ProbCover; the radius is the largest at which balls hold one group of a k-means only, nearly always."""
    positions = sample(ctx, seed, COVER_ROWS)
    points = ctx.points(ctx.candidates[positions])
    radius = pure_radius(points, ctx.n_classes, seed)
    square = Symmetric.square_distances(points)
    kernel = square.map(lambda d: np.less_equal(d, radius * radius, out=d, casting="unsafe"))
    within = nearest_distances(points, covered_points(ctx, seed)) <= radius * radius
    weights = ctx.sizes[positions]
    picks, gains, first = greedy_cover(
        kernel, weights, within.astype(np.float32), size, exact=exact_picks(ctx.batch_size)
    )
    why = [reasons.MANY_LIKE_IT if new else reasons.SECOND_COVER for new in first]
    return completed(ctx, [positions[picks]], [gains / float(weights.sum())], why, size, seed)
