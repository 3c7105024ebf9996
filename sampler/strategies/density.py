"""What is like the rest of the pool, alone and times the model's doubt."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first
from sampler.density import density_scores, density_weighted_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, entropy_scores
from sampler.strategies.registry import probabilities_of, strategy

_DECIMALS = 6  # further ones are rounding errors of a product, which would decide ties by the place in the array


@strategy("density")
def _density(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Mean cosine similarity to the candidates (Settles & Craven 2008)."""
    densities = _densities(ctx)
    picks = best_first(densities, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], densities[picks], reasons.density_reasons(densities[picks]))


@strategy("density_uncertainty", "probabilities")
def _density_uncertainty(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Information density (Settles & Craven 2008): entropy times mean similarity."""
    densities, doubts = _densities(ctx), entropy_scores(probabilities_of(ctx), check=False)
    scores = np.round(density_weighted_scores(doubts, densities), _DECIMALS)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = [
        f"{reasons.percent(float(doubt))} of the most doubt, similarity {density:.2f} to the pool"
        for doubt, density in zip(doubts[picks], densities[picks], strict=True)
    ]
    return Ranking(ctx.candidates[picks], scores[picks], why)


def _densities(ctx: QueryContext) -> FloatArray:
    return np.round(density_scores(ctx.features, ctx.candidates, ctx.scaling, ctx.weights), _DECIMALS) + 0.0
