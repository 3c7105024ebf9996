"""Clustered margin (Citovsky et al. 2021)."""

from __future__ import annotations

from sampler import reasons
from sampler.query import QueryContext, Ranking
from sampler.scores import margin_scores
from sampler.strategies.registry import probabilities_of, strategy
from sampler.strategies.spread import spread


@strategy("clustered_margin", "probabilities")
def rank_clustered_margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Clustered margin (Citovsky et al. 2021): the smallest margins, taken in turn from the clusters they lie in."""
    probabilities = probabilities_of(ctx)
    scores = margin_scores(probabilities, check=False)
    picks = spread(ctx, scores, size, seed)
    why = reasons.margin_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)
