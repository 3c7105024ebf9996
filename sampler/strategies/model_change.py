"""How far a label would move the model."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first
from sampler.model_change import Reach, feature_norms, gradient_length_scores, output_change_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray
from sampler.strategies.registry import probabilities_of, strategy
from sampler.strategies.spread import sample

_POOL_ROWS = 4_096
_DIGITS = 6  # further ones are rounding errors of a product, which would decide ties by the place in the array


@strategy("gradient_length", "probabilities")
def _gradient_length(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Expected gradient length (Settles & Craven 2008) of the softmax head."""
    norms = feature_norms(ctx.features, ctx.candidates, ctx.scaling)
    return _ranked(ctx, gradient_length_scores(probabilities_of(ctx), norms), size, seed, "the model")


@strategy("model_change", "probabilities")
def _model_change(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Expected change of the outputs over the pool (Freytag, Rodner & Denzler 2014), to first order."""
    pool = np.sort(ctx.candidates[sample(ctx, seed, _POOL_ROWS)])
    reaches = Reach.of(ctx.points(pool)).scores(ctx.features, ctx.candidates, ctx.scaling)
    return _ranked(ctx, output_change_scores(probabilities_of(ctx), reaches), size, seed, "its answers")


def _ranked(ctx: QueryContext, scores: FloatArray, size: int, seed: int, what: str) -> Ranking:
    typical = float(np.median(scores))
    if typical > 0.0:
        scores = np.round(scores / typical, _DIGITS)
    picks = best_first(scores, ctx.candidates, size, seed)
    unit = 1.0 if typical > 0.0 else 0.0
    return Ranking(ctx.candidates[picks], scores[picks], reasons.change_reasons(scores[picks], unit, what))
