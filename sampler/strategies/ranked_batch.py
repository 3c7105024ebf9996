"""Ranked batch mode (Cardoso et al. 2017)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first
from sampler.query import QueryContext, Ranking
from sampler.ranked import ranked_batch
from sampler.scores import FloatArray, least_confidence_scores
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, covered_points, sample

_MOST_EXACT = 512  # picks; behind them the ranking goes on by the score that each item has then


@strategy("ranked_batch")
def rank_ranked_batch(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Unlike what is labelled while little is, uncertain once much is."""
    positions = sample(ctx, seed)
    points, covered = ctx.points(ctx.candidates[positions]), covered_points(ctx, seed)
    scores: FloatArray = np.zeros(len(positions))
    if ctx.probabilities is not None:
        scores = least_confidence_scores(ctx.probabilities[positions], check=False)
    n_covered = len(ctx.covered)
    n_exact = min(size, max(_MOST_EXACT, ctx.batch_size))
    picks, values, after = ranked_batch(
        points,
        scores,
        covered,
        n_exact,
        n_pool=len(ctx.candidates),
        n_labeled=n_covered,
        afterwards=size > n_exact,
    )
    if len(picks) < min(size, len(points)):
        left = np.flatnonzero(np.isfinite(after))
        more = left[best_first(after[left], ctx.candidates[positions[left]], size - len(picks), seed)]
        picks, values = np.concatenate([picks, more]), np.concatenate([values, after[more]])
    why = [reasons.UNSURE_AND_UNLIKE if scores[p] >= 0.5 else reasons.UNLIKE_LABELLED for p in picks]
    if n_covered == 0:
        why[0] = reasons.FIRST
    return completed(ctx, [positions[picks]], [values], why, size, seed)
