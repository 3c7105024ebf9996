"""Strategies that rank by one score for each item."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first, tie_keys
from sampler.power import power_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import entropy_scores, least_confidence_scores, margin_scores
from sampler.strategies.registry import probabilities_of, strategy


@strategy("random")
def _random(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Uniformly at random: what all others are measured against."""
    keys = tie_keys(ctx.candidates, seed)
    # The 53 bits that a float holds: uniform in [0, 1), finite, and in the order of the keys but for those dropped.
    scores = (keys >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], [reasons.RANDOM] * size)


@strategy("least_confidence", "probabilities")
def _least_confidence(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The smallest probability of the likeliest class (Lewis & Gale 1994)."""
    scores = least_confidence_scores(probabilities_of(ctx))
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.confidence_reasons(1.0 - scores[picks]))


@strategy("margin", "probabilities")
def _margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The smallest lead of the likeliest class over the next (Scheffer, Decomain & Wrobel 2001)."""
    probabilities = probabilities_of(ctx)
    scores = margin_scores(probabilities)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = reasons.margin_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)


@strategy("entropy", "probabilities")
def _entropy(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The largest entropy of the probabilities (Settles & Craven 2008)."""
    scores = entropy_scores(probabilities_of(ctx))
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.entropy_reasons(scores[picks]))


@strategy("power_margin", "probabilities")
def _power_margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Drawn without replacement with odds by the margin (power acquisition: Kirsch et al. 2023)."""
    probabilities = probabilities_of(ctx)
    scores = power_scores(margin_scores(probabilities), ctx.candidates, seed)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = reasons.draw_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)
