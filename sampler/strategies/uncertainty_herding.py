"""Uncertainty herding (Bae, Oliveira & Sutherland 2025)."""

from __future__ import annotations

from sampler import reasons
from sampler.auto_constants import COVER_ROWS
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray, margin_scores
from sampler.strategies.herding import herd, rank_herding
from sampler.strategies.registry import strategy
from sampler.subsample import priority_sample


@strategy("uncertainty_herding")
def rank_uncertainty_herding(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Cover the pool where the model is unsure of it, by an even kernel; all of it where there is no model yet."""
    if ctx.probabilities is None:
        return rank_herding(ctx, size, seed)
    positions, weights = _doubtful(ctx.probabilities, ctx, seed)
    return herd(ctx, positions, weights, size, seed, reasons.DOUBTS_LIKE_IT, even=True)


def _doubtful(probabilities: FloatArray, ctx: QueryContext, seed: int) -> tuple[IntArray, FloatArray]:
    """What stands for the pool, and the doubt that each stands for."""
    scores = margin_scores(probabilities, check=False)
    if ctx.weights is not None:
        scores *= ctx.weights
    positions, weights = priority_sample(scores, ctx.candidates, COVER_ROWS, seed)
    return positions, weights * scores[positions]
