"""MaxHerding: kernel coverage of the pool (Bae, Noh & Sutherland 2024)."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.auto_constants import COVER_ROWS, SPREAD
from sampler.coverage import coverage_of, evened, gaussian, greedy_cover
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_points, sample
from sampler.symmetric import Symmetric

_MEDIAN_ROWS = 256
_EXACT = 128


@strategy("herding")
def rank_herding(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Cover the pool, whatever the model thinks: where to begin without one."""
    positions = sample(ctx, seed, COVER_ROWS)
    return herd(ctx, positions, ctx.sizes[positions], size, seed, reasons.MANY_LIKE_IT)


def herd(
    ctx: QueryContext, positions: IntArray, weights: FloatArray, size: int, seed: int, why: str, *, even: bool = False
) -> Ranking:
    """Rank these candidates by what they add to the coverage of all of them, weighted; by an `evened` kernel or not."""
    points, covered = ctx.points(ctx.candidates[positions]), covered_points(ctx, seed)
    square = Symmetric.square_distances(points)
    width = bandwidth(square.stripes[0])
    kernel = square.map(partial(gaussian, bandwidth=width))
    if even:
        kernel, covers = evened(kernel, points, covered, width)
    else:
        covers = coverage_of(points, covered, width)
    picks, gains, first = greedy_cover(kernel, weights, covers, size, exact=exact_picks(ctx.batch_size))
    said = [why if new else reasons.SECOND_COVER for new in first]
    return completed(ctx, [positions[picks]], [gains / max(float(weights.sum()), 1e-12)], said, size, seed)


def exact_picks(batch_size: int) -> int:
    """How many picks are made one by one: four batches at least. The next round replaces the ranking before that."""
    return max(_EXACT, 4 * batch_size)


def bandwidth(square: NDArray[np.float32]) -> float:
    """The median distance between points, by their squared distances (≥ 256, n); from the rows of the first few."""
    return SPREAD * float(np.sqrt(np.median(square[:_MEDIAN_ROWS])))
