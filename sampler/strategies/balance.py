"""Where classes are unbalanced: labels for each, and a search for the rare ones."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.balance import balanced_order, predicted_counts, rarity_scores
from sampler.batch import best_first
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray, margin_scores
from sampler.strategies.registry import probabilities_of, strategy

_DECIMALS = 6  # further ones are rounding errors of a product, which would decide ties by the place in the array


@strategy("class_balanced", "probabilities")
def _class_balanced(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Margin over labels of the predicted class, each pick counted (after Aggarwal, Popescu & Hudelot 2020)."""
    p = probabilities_of(ctx)
    predicted = p.argmax(axis=1)
    counts = np.bincount(ctx.y, minlength=ctx.n_classes)
    picks, scores = balanced_order(margin_scores(p, check=False), predicted, counts, ctx.candidates, size, seed)
    shares = counts / max(1, int(counts.sum()))
    why = reasons.class_reasons(shares[predicted[picks]], _names(ctx, predicted[picks]), "the labels")
    return Ranking(ctx.candidates[picks], scores, why)


@strategy("rare_class", "probabilities")
def _rare_class(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """What probably belongs to a class that is rare in the pool (after Attenberg & Provost 2010)."""
    p = probabilities_of(ctx)
    counts = predicted_counts(p)
    scores = np.round(rarity_scores(p, counts), _DECIMALS)
    picks = best_first(scores, ctx.candidates, size, seed)
    shares: FloatArray = counts / max(1.0, float(counts.sum()))
    likeliest = p[picks].argmax(axis=1)
    return Ranking(
        ctx.candidates[picks],
        scores[picks],
        reasons.class_reasons(shares[likeliest], _names(ctx, likeliest), "the pool"),
    )


def _names(ctx: QueryContext, classes: IntArray) -> list[str]:
    if ctx.class_names is None:
        return ["a class"] * len(classes)
    return [str(ctx.class_names[c])[:40] for c in classes]
