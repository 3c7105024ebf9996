"""Ranking a pool in parts, by several workers or one after the other, to the very ranking of the whole.

Exact for strategies that look at each candidate by itself first and then only at the best of them: the best of the
whole are among the best of the parts, ties and Gumbel noise hang on the row, and weights of draws add up exactly
(`sampler.draws`). What is left of the parts is ranked once more by the same strategy. Strategies whose first look hangs
on all candidates at once (a mean or a median over the pool, a sample drawn by size, a head recovered from a part) would
give another ranking, so they are refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sampler.auto_constants import COVER_ROWS
from sampler.batch import best_first
from sampler.committee import votes_of
from sampler.committee_scores import bald_scores, consensus_entropy_scores, hard_vote_entropy_scores, kl_max_scores
from sampler.draws import WeightSum, draw_probabilities
from sampler.errors import InvalidInput, MissingInput, NotShardable
from sampler.power import power_scores
from sampler.query import QueryContext, Ranking, prepared
from sampler.scores import (
    FloatArray,
    IntArray,
    entropy_scores,
    least_confidence_scores,
    margin_scores,
)
from sampler.strategies import get_strategy
from sampler.strategies.committee import dispute_scores
from sampler.strategies.registry import probabilities_of
from sampler.strategies.spread import DIVERSE_ROWS, diverse_rows, spread_reach
from sampler.strategies.uncertainty import margin_weights, random_scores


@dataclass(frozen=True)
class Shard:
    """What a part of the pool sends on: those of its candidates that the whole pool's ranking may look at.

    Attributes:
        strategy: The strategy's name.
        size: How many rows are asked for.
        seed: What decides ties and draws.
        rows: Shape ``(k,)``, int64.
        scores: Shape ``(k,)``: what they were kept by.
        probabilities: Shape ``(k, n_classes)``, or None.
        committee: Shape ``(members, k, n_classes)``, or None.
        weights: Shape ``(k,)``, or None.
        total: The weights of all candidates of the part, where the strategy draws.
    """

    strategy: str
    size: int
    seed: int
    rows: IntArray
    scores: FloatArray
    probabilities: FloatArray | None
    committee: FloatArray | None
    weights: FloatArray | None
    total: WeightSum | None


@dataclass(frozen=True)
class _Stage:
    """The first look: a score of each candidate by itself, and how many of the best are looked at again."""

    score: Callable[[QueryContext, int], FloatArray]
    reach: Callable[[QueryContext, int], int]
    committee: bool = False


def _the_best(ctx: QueryContext, size: int) -> int:
    return size


def _members(ctx: QueryContext) -> FloatArray:
    if ctx.committee is None:
        raise MissingInput("committee", "a committee")
    return ctx.committee


def _alike(ctx: QueryContext, seed: int) -> FloatArray:
    return np.ones(len(ctx.candidates))


_STAGES = {
    "random": _Stage(lambda ctx, seed: random_scores(ctx.candidates, seed), _the_best),
    "least_confidence": _Stage(lambda ctx, seed: least_confidence_scores(probabilities_of(ctx)), _the_best),
    "margin": _Stage(lambda ctx, seed: margin_scores(probabilities_of(ctx)), _the_best),
    "entropy": _Stage(lambda ctx, seed: entropy_scores(probabilities_of(ctx)), _the_best),
    "power_margin": _Stage(lambda ctx, seed: power_scores(margin_weights(ctx), ctx.candidates, seed), _the_best),
    "vote_entropy": _Stage(lambda ctx, seed: hard_vote_entropy_scores(_members(ctx)), _the_best, committee=True),
    "consensus_entropy": _Stage(lambda ctx, seed: consensus_entropy_scores(_members(ctx)), _the_best, committee=True),
    "kl_max": _Stage(lambda ctx, seed: kl_max_scores(_members(ctx)), _the_best, committee=True),
    "bald": _Stage(lambda ctx, seed: bald_scores(_members(ctx)), _the_best, committee=True),
    "committee": _Stage(lambda ctx, seed: dispute_scores(ctx, votes_of(_members(ctx))), spread_reach, committee=True),
    "clustered_margin": _Stage(lambda ctx, seed: margin_scores(probabilities_of(ctx)), spread_reach),
    "kmeans": _Stage(
        lambda ctx, seed: _alike(ctx, seed) if ctx.probabilities is None else margin_scores(ctx.probabilities),
        spread_reach,
    ),
    "typiclust": _Stage(_alike, lambda ctx, size: max(DIVERSE_ROWS, size)),
    "coreset": _Stage(_alike, lambda ctx, size: max(diverse_rows(size), size)),
    "herding": _Stage(_alike, lambda ctx, size: max(COVER_ROWS, size)),
    "probcover": _Stage(_alike, lambda ctx, size: max(COVER_ROWS, size)),
}
_WEIGHTS: dict[str, Callable[[QueryContext], FloatArray]] = {
    "random": lambda ctx: np.ones(len(ctx.candidates)),
    "power_margin": margin_weights,
}


def shardable() -> tuple[str, ...]:
    """The names of the strategies that can be ranked in parts; those of committees need one that is handed in."""
    return tuple(_STAGES)


def rank_shard(name: str, ctx: QueryContext, size: int) -> Shard:
    """Keep what the ranking of the whole pool may look at of one part of it.

    Args:
        name: The strategy's name.
        ctx: As for the whole pool, but with the part's candidates, their probabilities, committee and weights only.
            Features, labels, pending rows, batch size and the generator's state must be those of the whole pool.
        size: How many rows the ranking is to have.

    Raises:
        NotShardable: The strategy's parts do not add up to the whole.
        MissingInput, InvalidInput: As when ranking.
    """
    stage = _stage(name, ctx)
    for need in sorted(get_strategy(name).needs):
        if getattr(ctx, need) is None:
            raise MissingInput(name, need)
    ctx, seed = prepared(ctx), _seed(ctx)
    kept: IntArray = np.empty(0, np.int64)
    scores: FloatArray = np.empty(0)
    if len(ctx.candidates):
        scores = stage.score(ctx, seed)
        kept = best_first(scores, ctx.candidates, stage.reach(ctx, max(0, size)), seed)
    return Shard(
        strategy=name,
        size=size,
        seed=seed,
        rows=ctx.candidates[kept],
        scores=scores[kept],
        probabilities=None if ctx.probabilities is None else ctx.probabilities[kept],
        committee=None if ctx.committee is None else ctx.committee[:, kept],
        weights=None if ctx.weights is None else ctx.weights[kept],
        total=WeightSum.of(_WEIGHTS[name](ctx)) if name in _WEIGHTS else None,
    )


def merge_shards(ctx: QueryContext, shards: Sequence[Shard]) -> Ranking:
    """The ranking of the whole pool from its parts, bit for bit what ranking it at once gives.

    Args:
        ctx: That of the whole pool; its candidates, probabilities, committee and weights are taken from the parts, in
            any order.
        shards: All parts; none of their rows in two of them.

    Raises:
        InvalidInput: No parts, or parts of different rankings.
    """
    if not shards:
        raise InvalidInput("shards", "there are none to merge")
    name, size, seed = shards[0].strategy, shards[0].size, shards[0].seed
    if any((s.strategy, s.size, s.seed) != (name, size, seed) for s in shards) or _seed(ctx) != seed:
        raise InvalidInput("shards", "they differ in strategy, size or generator state, from one another or from this")
    stage = _stage(name, replace(ctx, committee=shards[0].committee))
    rows = np.concatenate([shard.rows for shard in shards])
    scores = np.concatenate([shard.scores for shard in shards])
    kept = best_first(scores, rows, stage.reach(ctx, max(0, size)), seed)
    kept = kept[np.argsort(rows[kept], kind="stable")]
    whole = replace(
        ctx,
        candidates=rows[kept],
        probabilities=_joined([shard.probabilities for shard in shards], kept, axis=0),
        committee=_joined([shard.committee for shard in shards], kept, axis=1),
        weights=_joined([shard.weights for shard in shards], kept, axis=0),
        rng=copy.deepcopy(ctx.rng),
    )
    ranking = get_strategy(name).rank(whole, size)
    totals = [shard.total for shard in shards if shard.total is not None]
    if not totals:
        return ranking
    places = np.searchsorted(whole.candidates, ranking.rows)
    picked = _WEIGHTS[name](whole)[places]
    return replace(ranking, probabilities=draw_probabilities(picked, sum(totals, WeightSum())))


def rank_in_shards(name: str, ctx: QueryContext, size: int, n_shards: int) -> Ranking:
    """Rank the candidates in ``n_shards`` parts, one after the other.

    Raises:
        NotShardable, MissingInput, InvalidInput: As `rank_shard` and `merge_shards`.
    """
    if n_shards < 1:
        raise InvalidInput("n_shards", f"{n_shards} is not 1 or more")
    parts = [
        rank_shard(
            name,
            replace(
                ctx,
                candidates=ctx.candidates[places],
                probabilities=None if ctx.probabilities is None else ctx.probabilities[places],
                committee=None if ctx.committee is None else ctx.committee[:, places],
                weights=None if ctx.weights is None else ctx.weights[places],
            ),
            size,
        )
        for places in np.array_split(np.arange(len(ctx.candidates)), n_shards)
    ]
    return merge_shards(ctx, parts)


def _stage(name: str, ctx: QueryContext) -> _Stage:
    get_strategy(name)  # an unknown name is said to be one
    if name not in _STAGES:
        raise NotShardable(name, "its first look hangs on all candidates at once; rank the pool in one")
    stage = _STAGES[name]
    if stage.committee and ctx.committee is None:
        raise NotShardable(name, "its committee is trained while it ranks; hand one in with the query context")
    return stage


def _seed(ctx: QueryContext) -> int:
    """What ranking would draw from the context's generator, which stays as it is."""
    return int(copy.deepcopy(ctx.rng).integers(1 << 62))


def _joined(parts: Sequence[FloatArray | None], kept: IntArray, axis: int) -> FloatArray | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    if len(there) < len(parts):
        raise InvalidInput("shards", "some have probabilities, a committee or weights and some have not")
    return np.take(np.concatenate(there, axis=axis), kept, axis=axis)
