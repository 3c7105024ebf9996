"""Representatives of weighted clusters (Zhdanov 2019)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, margin_scores
from sampler.strategies.registry import strategy
from sampler.strategies.spread import LARGEST_STAGE, spread


@strategy("kmeans")
def _kmeans(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Representatives of weighted clusters (Zhdanov 2019): k-means over the most uncertain, weighted by uncertainty."""
    scores: FloatArray
    if ctx.probabilities is None:
        scores = np.ones(len(ctx.candidates))
        picks = spread(ctx, scores, size, seed, central=True, keep=LARGEST_STAGE)
        return Ranking(ctx.candidates[picks], scores[picks], [reasons.GROUP] * size)
    scores = margin_scores(ctx.probabilities, check=False)
    picks = spread(ctx, scores, size, seed, central=True)
    why = reasons.margin_reasons(ctx.probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], [f"{w}, and like many others" for w in why])
