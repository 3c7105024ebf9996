"""The query strategies and their registry.

Each ranks in two stages where the pool is large: a cheap score (or a seeded draw) keeps a part of the candidates, and
the costly step works on that part. All are pure: the same context and generator state give the same ranking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.batch import best_first, blocks, tie_keys
from sampler.coldstart import is_cold, typiclust
from sampler.committee import committee_votes, fit_committee, votes_of
from sampler.diversity import k_center, kmeans
from sampler.errors import MissingInput, UnknownStrategy
from sampler.query import QueryContext, QueryStrategy, Ranking, prepared
from sampler.scores import (
    FloatArray,
    IntArray,
    entropy_scores,
    least_confidence_scores,
    margin_scores,
    vote_entropy_scores,
)
from sampler.threads import single_thread

__all__ = [
    "QueryContext",
    "QueryStrategy",
    "Ranking",
    "get_strategy",
    "register",
    "strategy_names",
]

_KEEP = 10  # the costly step chooses one in ten of what the cheap one keeps
_LARGEST_STAGE = 4_096
_DIVERSE_ROWS = 20_000  # of more candidates than this, methods without a score look at a seeded sample
_MOST_COVERED = 4_096
_FINE_CLUSTERS = 64
_RECENT = 512

_Body = Callable[[QueryContext, int, int], Ranking]


@dataclass(frozen=True)
class _Strategy:
    """A function behind the checks that every strategy shares."""

    name: str
    needs: frozenset[str]
    body: _Body

    def rank(self, ctx: QueryContext, size: int) -> Ranking:
        for need in sorted(self.needs):
            if getattr(ctx, need) is None:
                raise MissingInput(self.name, need)
        ctx = prepared(ctx)
        seed = int(ctx.rng.integers(1 << 62))
        size = max(0, min(size, len(ctx.candidates)))
        if size == 0:
            return Ranking(np.empty(0, np.int64), np.empty(0), [])
        with single_thread():
            return self.body(ctx, size, seed)


_REGISTRY: dict[str, QueryStrategy] = {}


def register(strategy: QueryStrategy) -> QueryStrategy:
    """Make ``strategy`` known by its name, and hand it back."""
    _REGISTRY[strategy.name] = strategy
    return strategy


def get_strategy(name: str) -> QueryStrategy:
    """The strategy called ``name``.

    Raises:
        UnknownStrategy: There is none; the message lists those that there are.
    """
    try:
        return _REGISTRY[name]
    except KeyError:
        raise UnknownStrategy(name, strategy_names()) from None


def strategy_names() -> tuple[str, ...]:
    """The names of all strategies, in the order in which they were registered."""
    return tuple(_REGISTRY)


def _strategy(name: str, *needs: str) -> Callable[[_Body], _Body]:
    def add(body: _Body) -> _Body:
        register(_Strategy(name, frozenset(needs), body))
        return body

    return add


def _probabilities(ctx: QueryContext) -> FloatArray:
    if ctx.probabilities is None:
        raise MissingInput("margin", "probabilities")
    return ctx.probabilities


# --- one score for each item ---------------------------------------------------------------------------------------


@_strategy("random")
def _random(ctx: QueryContext, size: int, seed: int) -> Ranking:
    keys = tie_keys(ctx.candidates, seed)
    # The 53 bits that a float holds: uniform in [0, 1), finite, and in the order of the keys but for those dropped.
    scores = (keys >> np.uint64(11)).astype(np.float64) / float(1 << 53)
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], [reasons.RANDOM] * size)


@_strategy("least_confidence", "probabilities")
def _least_confidence(ctx: QueryContext, size: int, seed: int) -> Ranking:
    scores = least_confidence_scores(_probabilities(ctx))
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.confidence_reasons(1.0 - scores[picks]))


@_strategy("margin", "probabilities")
def _margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    probabilities = _probabilities(ctx)
    scores = margin_scores(probabilities)
    picks = best_first(scores, ctx.candidates, size, seed)
    why = reasons.margin_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)


@_strategy("entropy", "probabilities")
def _entropy(ctx: QueryContext, size: int, seed: int) -> Ranking:
    scores = entropy_scores(_probabilities(ctx))
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.entropy_reasons(scores[picks]))


# --- spread out ----------------------------------------------------------------------------------------------------


def _sample(ctx: QueryContext, seed: int, limit: int = _DIVERSE_ROWS) -> IntArray:
    """Positions of the candidates that a method without a score looks at, in seeded order.

    The order is bound to the rows, so it is the same however the candidates were handed in.
    """
    keys = tie_keys(ctx.candidates, seed)
    if len(keys) > limit:
        kept = np.argpartition(keys, limit - 1)[:limit]
        return kept[np.argsort(keys[kept], kind="stable")]
    return np.argsort(keys, kind="stable")


def _covered_points(ctx: QueryContext, seed: int) -> NDArray[np.float32]:
    """Features of what is labelled or pending; a seeded part of it where it is a great deal."""
    rows = ctx.covered
    if len(rows) > _MOST_COVERED:
        rows = np.sort(rows[np.argsort(tie_keys(rows, seed))[:_MOST_COVERED]])
    return ctx.points(rows)


def _completed(
    ctx: QueryContext, picks: list[IntArray], scores: list[FloatArray], why: list[str], size: int, seed: int
) -> Ranking:
    """The picks, cut to size, or filled up at random where a sample held too few."""
    chosen = np.concatenate(picks) if picks else np.empty(0, np.int64)
    values = np.concatenate(scores) if scores else np.empty(0)
    if len(chosen) < size:
        left = np.setdiff1d(np.arange(len(ctx.candidates)), chosen)
        more = left[np.argsort(tie_keys(ctx.candidates[left], seed), kind="stable")][: size - len(chosen)]
        floor = min(0.0, float(values.min(initial=0.0)))
        chosen, values = np.concatenate([chosen, more]), np.concatenate([values, np.full(len(more), floor)])
        why = why + [reasons.RANDOM] * len(more)
    return Ranking(ctx.candidates[chosen[:size]], values[:size].astype(np.float64), why[:size])


@_strategy("coreset")
def _coreset(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Greedy k-center on what is not covered."""
    positions = _sample(ctx, seed, max(_DIVERSE_ROWS, 2 * size) if size > _DIVERSE_ROWS else _DIVERSE_ROWS)
    points = ctx.points(ctx.candidates[positions])
    covered = _covered_points(ctx, seed)
    picks, radii = k_center(points, covered, size)
    typical = float(np.median(radii)) if len(radii) else 0.0
    why = [reasons.CORNER if radius > 1.1 * typical else reasons.FILLS_IN for radius in radii]
    if len(why):
        why[0] = reasons.NOTHING_LIKE_IT if len(covered) else reasons.FIRST
    return _completed(ctx, [positions[picks]], [radii], why, size, seed)


@_strategy("typiclust")
def _typiclust(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """TypiClust on what is not covered."""
    positions = _sample(ctx, seed)
    points = ctx.points(ctx.candidates[positions])
    picks, scores, opened = typiclust(
        points, _covered_points(ctx, seed), min(size, len(points)), batch_size=ctx.batch_size, seed=seed
    )
    why = [reasons.UNCOVERED if new else reasons.COVERED for new in opened]
    return _completed(ctx, [positions[picks]], [scores], why, size, seed)


@_strategy("kmeans")
def _kmeans(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Representatives of weighted clusters (Zhdanov 2019): k-means over the most uncertain, weighted by uncertainty."""
    scores: FloatArray
    if ctx.probabilities is None:
        scores = np.ones(len(ctx.candidates))
        picks = _spread(ctx, scores, size, seed, central=True, keep=_LARGEST_STAGE)
        return Ranking(ctx.candidates[picks], scores[picks], [reasons.GROUP] * size)
    scores = margin_scores(ctx.probabilities)
    picks = _spread(ctx, scores, size, seed, central=True)
    why = reasons.margin_reasons(ctx.probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], [f"{w}, and like many others" for w in why])


@_strategy("clustered_margin", "probabilities")
def _clustered_margin(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Clustered margin (Citovsky et al. 2021): the smallest margins, taken in turn from the clusters they lie in."""
    probabilities = _probabilities(ctx)
    scores = margin_scores(probabilities)
    picks = _spread(ctx, scores, size, seed)
    why = reasons.margin_reasons(probabilities[picks], ctx.class_names)
    return Ranking(ctx.candidates[picks], scores[picks], why)


@_strategy("committee")
def _committee(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Vote entropy of a modAL committee; the most disputed are spread out, since their top k is full of duplicates."""
    if ctx.committee is not None:
        votes = votes_of(ctx.committee)
    elif len(np.unique(ctx.y)) < 2:
        return _typiclust(ctx, size, seed)  # nothing to disagree about yet
    else:
        committee = fit_committee(ctx.features, ctx.labeled, ctx.y, np.random.default_rng(seed))
        votes = committee_votes(committee, ctx.features, ctx.candidates)
    scores = vote_entropy_scores(votes, ctx.n_classes)
    if ctx.probabilities is not None:
        # Five members give a handful of different entropies: the margin decides within one.
        scores = scores + 1e-3 * margin_scores(ctx.probabilities)
    picks = _spread(ctx, scores, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], reasons.vote_reasons(votes[picks]))


@_strategy("auto")
def _auto(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """TypiClust until the model is sure of something, then clustered margin."""
    if ctx.probabilities is None or is_cold(ctx.y, ctx.n_classes):
        return _typiclust(ctx, size, seed)
    return _clustered_margin(ctx, size, seed)


def _spread(
    ctx: QueryContext, scores: FloatArray, size: int, seed: int, *, central: bool = False, keep: int = 0
) -> IntArray:
    """Positions with high scores that are unlike one another, pending items and earlier picks.

    Stretch by stretch: the scores keep ten candidates for each pick; they are clustered together with what is covered;
    the clusters give one each in turn, those with nothing covered first, the small before the large.

    Args:
        ctx: The context.
        scores: Shape ``(m,)``: the cheap score of each candidate.
        size: How many to pick.
        seed: Decides ties and starts.
        central: Take what lies nearest to a cluster's centre instead of what scores highest.
        keep: Keep at least this many for each stretch.
    """
    stretches = list(blocks(size, ctx.batch_size))
    most = max(_LARGEST_STAGE, _KEEP * ctx.batch_size)
    order = best_first(scores, ctx.candidates, size + max(most, keep), seed)
    taken = np.zeros(len(scores), dtype=bool)
    picked = np.empty(0, dtype=np.int64)
    pending = ctx.points(ctx.pending)
    for index, (width, grain) in enumerate(stretches):
        reach = order[: max(_KEEP * (len(picked) + grain), keep + len(picked))]
        kept = reach[~taken[reach]][:most]
        recent = ctx.points(ctx.candidates[picked[-_RECENT:]])
        points = ctx.points(ctx.candidates[kept])
        covered = np.concatenate([pending, recent])
        k = min(grain, max(_FINE_CLUSTERS, ctx.batch_size))
        chosen = _in_turn(points, covered, scores[kept], k, seed + index, central=central)[:width]
        taken[kept[chosen]] = True
        picked = np.concatenate([picked, kept[chosen]])
    rest = order[~taken[order]]  # a reserve longer than what was clustered goes on by score alone
    return np.concatenate([picked, rest])[:size]


def _in_turn(
    points: NDArray[np.float32],
    covered: NDArray[np.float32],
    scores: FloatArray,
    k: int,
    seed: int,
    *,
    central: bool,
) -> IntArray:
    """All positions of the points, in turn from each of ``k`` clusters and as many more as what is covered may fill."""
    n = len(points)
    k += min(len(covered), k)
    weights = np.concatenate([scores, np.full(len(covered), max(float(scores.mean()), 1e-6))])
    assigned, centres = kmeans(np.concatenate([points, covered]), k, weights=weights, seed=seed)
    mine = assigned[:n]
    value = -((points - centres[mine]) ** 2).sum(axis=1) if central else scores
    sizes = np.bincount(mine, minlength=k)
    n_covered = np.bincount(assigned[n:], minlength=k)
    best = np.lexsort((-value, mine))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    turn = np.empty(n, dtype=np.int64)
    turn[best] = np.arange(n) - starts[mine[best]]
    return np.lexsort((-value, sizes[mine], turn + n_covered[mine]))
