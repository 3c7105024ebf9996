"""Query by committee, spread out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.committee import canonical_classes, fit_committee, votes_of
from sampler.linear_committee import linear_committee_votes, linear_members
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, margin_scores, vote_entropy_scores
from sampler.strategies.registry import strategy
from sampler.strategies.spread import spread
from sampler.strategies.typiclust import rank_typiclust


@strategy("committee")
def _committee(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Vote entropy of a modAL committee; the most disputed are spread out, since their top k is full of duplicates."""
    votes: NDArray[np.integer[Any]]
    if ctx.committee is not None:
        votes = votes_of(ctx.committee)
    elif len(np.unique(ctx.y)) < 2:
        return rank_typiclust(ctx, size, seed)  # nothing to disagree about yet
    else:
        y = canonical_classes(ctx.labeled, ctx.y)
        committee = fit_committee(ctx.features, ctx.labeled, y, np.random.default_rng(seed))
        votes = linear_committee_votes(linear_members(committee), ctx.features, ctx.candidates)
    scores = dispute_scores(ctx, votes)
    picks = spread(ctx, scores, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.vote_reasons(votes[picks]))


def dispute_scores(ctx: QueryContext, votes: NDArray[np.integer[Any]]) -> FloatArray:
    """Vote entropy of votes (m, members), and within one entropy the margin: five members give a handful of them."""
    scores = vote_entropy_scores(votes, ctx.n_classes)
    return scores if ctx.probabilities is None else scores + 1e-3 * margin_scores(ctx.probabilities, check=False)
