"""DropQuery: guesses that change when parts of the features are hidden (Gupte et al. 2024)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first
from sampler.head import LinearHead
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray, margin_scores
from sampler.strategies.herding import rank_herding
from sampler.strategies.registry import probabilities_of, strategy
from sampler.strategies.spread import LARGEST_STAGE, head_of, spread

DROPPED = 0.75
DRAWS = 3
"""The share that is hidden, and how often: what Gupte et al. 2024 use on all their data sets."""
LOOKED_AT = 16_384
"""Guesses hardly change where the margin is large: of more candidates, those with the smallest are looked at."""
_CHUNK_ROWS = 2_048


@strategy("dropquery")
def rank_dropquery(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The centres of as many clusters as there are picks, over the items whose guess changes more often than not."""
    if ctx.probabilities is None:
        return rank_herding(ctx, size, seed)
    margins = margin_scores(ctx.probabilities, check=False)
    looked_at = best_first(margins, ctx.candidates, LOOKED_AT, seed)
    scores = 1e-3 * margins  # among those that change equally often, and behind them
    scores[looked_at] += changes(ctx, looked_at, head_of(ctx, seed), seed) > DRAWS / 2
    picks = spread(ctx, scores, size, seed, central=True, keep=LARGEST_STAGE)
    why = [reasons.UNSTABLE if scores[pick] > 0.5 else reasons.STABLE for pick in picks]
    return Ranking(ctx.candidates[picks], scores[picks], why)


def changes(ctx: QueryContext, positions: IntArray, head: LinearHead, seed: int) -> FloatArray:
    """How many of the guesses on features with hidden parts are not the model's guess: shape ``(len(positions),)``."""
    rng = np.random.default_rng(seed)
    guesses = probabilities_of(ctx).argmax(axis=1)[positions]
    changed = np.zeros(len(positions))
    for start in range(0, len(positions), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        points = ctx.points(ctx.candidates[positions[rows]])
        for _ in range(DRAWS):
            kept = rng.random(points.shape, dtype=np.float32) >= DROPPED
            hidden = points * kept / np.float32(1.0 - DROPPED)
            changed[rows] += (hidden @ head.coef.T + head.intercept).argmax(axis=1) != guesses[rows]
    return changed
