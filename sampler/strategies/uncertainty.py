"""Strategies that rank by one score for each item."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first, tie_keys
from sampler.draws import WeightSum, draw_probabilities, uniform_probabilities
from sampler.power import power_scores, power_weights
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray, entropy_scores, least_confidence_scores, margin_scores
from sampler.strategies.registry import probabilities_of, strategy


def random_scores(rows: IntArray, seed: int) -> FloatArray:
    """Uniform in [0, 1): of the hash of each row and the seed the 53 bits that a float holds. Shape ``(n,)``."""
    return (tie_keys(rows, seed) >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def margin_weights(ctx: QueryContext) -> FloatArray:
    """The odds of ``power_margin``: margins with a floor, times how many items each stands for. Shape ``(m,)``."""
    return power_weights(margin_scores(probabilities_of(ctx), check=False)) * ctx.sizes


@strategy("random")
def _random(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Uniformly at random: what all others are measured against."""
    scores = random_scores(ctx.candidates, seed)
    picks = best_first(scores, ctx.candidates, size, seed)
    uniform = uniform_probabilities(len(picks), len(scores))
    return Ranking(ctx.candidates[picks], scores[picks], [reasons.RANDOM] * size, uniform)


@strategy("least_confidence", "probabilities")
def _least_confidence(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The smallest probability of the likeliest class (Lewis & Gale 1994)."""
    scores = least_confidence_scores(probabilities_of(ctx), check=False)
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.confidence_reasons(1.0 - scores[picks]))


@strategy("margin", "probabilities")
def _margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The smallest lead of the likeliest class over the next (Scheffer, Decomain & Wrobel 2001)."""
    probabilities = probabilities_of(ctx)
    scores = margin_scores(probabilities, check=False)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = reasons.margin_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)


@strategy("entropy", "probabilities")
def _entropy(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The largest entropy of the probabilities (Settles & Craven 2008)."""
    scores = entropy_scores(probabilities_of(ctx), check=False)
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.entropy_reasons(scores[picks]))


@strategy("power_margin", "probabilities")
def _power_margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Drawn without replacement with odds by the margin (power acquisition: Kirsch et al. 2023)."""
    probabilities = probabilities_of(ctx)
    weights = margin_weights(ctx)
    scores = power_scores(weights, ctx.candidates, seed)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = reasons.draw_reasons(probabilities[picks], ctx.class_names)
    drawn = draw_probabilities(weights[picks], WeightSum.of(weights))
    return Ranking(ctx.candidates[picks], scores[picks], why, drawn)
