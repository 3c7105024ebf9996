"""Disagreement of a committee, item by item.

The top of such a score is full of near-duplicates, on which all members disagree alike: for a batch, ``committee``
spreads them out. These rank by the score alone, for whoever labels one item at a time or wants what a paper compares.
"""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.batch import best_first
from sampler.committee import canonical_classes, votes_of
from sampler.committee_scores import bald_scores, consensus_entropy_scores, hard_vote_entropy_scores, kl_max_scores
from sampler.linear_committee import LinearCommittee, fit_linear_committee, linear_committee_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import strategy
from sampler.strategies.typiclust import rank_typiclust

_OF_PROBABILITIES = {
    "vote_entropy": hard_vote_entropy_scores,
    "consensus_entropy": consensus_entropy_scores,
    "kl_max": kl_max_scores,
    "bald": bald_scores,
}


def _rank(ctx: QueryContext, size: int, seed: int, measure: str) -> Ranking:
    """The committee that was handed in, or a bagged one of linear heads; TypiClust where no two classes are known."""
    if ctx.committee is not None:
        scores = _OF_PROBABILITIES[measure](ctx.committee)
        picks = best_first(scores, ctx.candidates, size, seed)
        return _ranking(ctx, picks, scores[picks], ctx.committee[:, picks], measure)
    if len(np.unique(ctx.y)) < 2:
        return rank_typiclust(ctx, size, seed)  # nothing to disagree about yet
    y = canonical_classes(ctx.labeled, ctx.y)  # the bootstraps are drawn class by class
    committee = fit_linear_committee(ctx.points(ctx.labeled), y, np.random.default_rng(seed))
    return rank_by_members(ctx, committee, size, seed, measure)


def rank_by_members(
    ctx: QueryContext, committee: LinearCommittee, size: int, seed: int, measure: str, *, threads: int | None = None
) -> Ranking:
    """Ask members that were fitted on the context's scaled features, and rank by ``measure`` of what they say."""
    asked = committee if ctx.scaling is None else committee.unscaled(ctx.scaling)
    scores = linear_committee_scores(asked, ctx.features, ctx.candidates, measure, ctx.n_classes, threads=threads)
    picks = best_first(scores, ctx.candidates, size, seed)
    return _ranking(ctx, picks, scores[picks], committee.probabilities(ctx.points(ctx.candidates[picks])), measure)


def _ranking(ctx: QueryContext, picks: IntArray, scores: FloatArray, members: FloatArray, measure: str) -> Ranking:
    n_members = len(members)
    if measure == "vote_entropy":
        why = reasons.vote_reasons(votes_of(members))
    elif measure == "consensus_entropy":
        why = reasons.entropy_reasons(scores)
    elif measure == "kl_max":
        why = reasons.stray_reasons(scores, n_members)
    else:
        why = reasons.disagreement_reasons(scores, n_members, ctx.n_classes)
    return Ranking(ctx.candidates[picks], scores, why)


@strategy("vote_entropy")
def _vote_entropy(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Entropy of the members' votes (Dagan & Engelson 1995)."""
    return _rank(ctx, size, seed, "vote_entropy")


@strategy("consensus_entropy")
def _consensus_entropy(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Entropy of the members' mean: soft vote entropy (Settles 2012)."""
    return _rank(ctx, size, seed, "consensus_entropy")


@strategy("kl_max")
def _kl_max(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The largest divergence of a member from the mean (after McCallum & Nigam 1998)."""
    return _rank(ctx, size, seed, "kl_max")


@strategy("bald")
def _bald(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Mutual information of label and member (Houlsby et al. 2011)."""
    return _rank(ctx, size, seed, "bald")
