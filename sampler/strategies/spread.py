"""What strategies that spread their picks out have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.batch import best_first, blocks, tie_keys
from sampler.diversity import kmeans
from sampler.draws import uniform_probabilities
from sampler.head import LinearHead, recover_head
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import probabilities_of

_KEEP = 10  # the costly step chooses one in ten of what the cheap one keeps
LARGEST_STAGE = 4_096
DIVERSE_ROWS = 20_000  # of more candidates than this, methods without a score look at a seeded sample
_MOST_COVERED = 4_096
_FINE_CLUSTERS = 64
_HEAD_ROWS = 4_096
_RECENT = 512


def sample(ctx: QueryContext, seed: int, limit: int = DIVERSE_ROWS) -> IntArray:
    """Positions of the candidates that a method without a score looks at, in seeded order.

    The order is bound to the rows, so it is the same however the candidates were handed in.
    """
    keys = tie_keys(ctx.candidates, seed)
    if len(keys) > limit:
        kept = np.argpartition(keys, limit - 1)[:limit]
        return kept[np.argsort(keys[kept], kind="stable")]
    return np.argsort(keys, kind="stable")


def diverse_rows(size: int) -> int:
    """How many candidates a method looks at whose every pick comes from its sample."""
    return max(DIVERSE_ROWS, 2 * size) if size > DIVERSE_ROWS else DIVERSE_ROWS


def covered_rows(ctx: QueryContext, seed: int) -> IntArray:
    """What is labelled or pending; a seeded part of it where it is a great deal."""
    rows = ctx.covered
    if len(rows) > _MOST_COVERED:
        rows = np.sort(rows[np.argsort(tie_keys(rows, seed))[:_MOST_COVERED]])
    return rows


def covered_points(ctx: QueryContext, seed: int) -> NDArray[np.float32]:
    """Features of what is labelled or pending; a seeded part of it where it is a great deal."""
    return ctx.points(covered_rows(ctx, seed))


def head_of(ctx: QueryContext, seed: int) -> LinearHead:
    """The linear head behind the probabilities of a context, from a seeded part of its candidates."""
    positions = sample(ctx, seed, _HEAD_ROWS)
    return recover_head(ctx.points(ctx.candidates[positions]), probabilities_of(ctx)[positions])


def completed(
    ctx: QueryContext, picks: list[IntArray], scores: list[FloatArray], why: list[str], size: int, seed: int
) -> Ranking:
    """The picks, cut to size, or filled up at random where a sample held too few; with none, all is a uniform draw."""
    chosen = np.concatenate(picks) if picks else np.empty(0, np.int64)
    values = np.concatenate(scores) if scores else np.empty(0)
    if len(chosen) < size:
        left = np.setdiff1d(np.arange(len(ctx.candidates)), chosen)
        more = left[np.argsort(tie_keys(ctx.candidates[left], seed), kind="stable")][: size - len(chosen)]
        floor = min(0.0, float(values.min(initial=0.0)))
        chosen, values = np.concatenate([chosen, more]), np.concatenate([values, np.full(len(more), floor)])
        why = why + [reasons.RANDOM] * len(more)
    uniform = None if sum(map(len, picks)) else uniform_probabilities(size, len(ctx.candidates))
    return Ranking(ctx.candidates[chosen[:size]], values[:size].astype(np.float64), why[:size], uniform)


def spread(
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
        keep: Keep at least this many for each stretch, at most `LARGEST_STAGE`.
    """
    stretches = list(blocks(size, ctx.batch_size))
    most = _stage_rows(ctx)
    order = best_first(scores, ctx.candidates, spread_reach(ctx, size), seed)
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
        sizes = None if ctx.weights is None else ctx.weights[kept]
        chosen = _in_turn(points, covered, scores[kept], k, seed + index, central=central, sizes=sizes)[:width]
        taken[kept[chosen]] = True
        picked = np.concatenate([picked, kept[chosen]])
    rest = order[~taken[order]]  # a reserve longer than what was clustered goes on by score alone
    return np.concatenate([picked, rest])[:size]


def spread_reach(ctx: QueryContext, size: int) -> int:
    """How many of the highest scores `spread` looks at; the other candidates have no part in its picks."""
    return size + _stage_rows(ctx)


def _stage_rows(ctx: QueryContext) -> int:
    return max(LARGEST_STAGE, _KEEP * ctx.batch_size)


def _in_turn(
    points: NDArray[np.float32],
    covered: NDArray[np.float32],
    scores: FloatArray,
    k: int,
    seed: int,
    *,
    central: bool,
    sizes: FloatArray | None,
) -> IntArray:
    """All positions of the points, in turn from each of ``k`` clusters and as many more as what is covered may fill."""
    n = len(points)
    k += min(len(covered), k)
    mass = scores if sizes is None else scores * sizes
    weights = np.concatenate([mass, np.full(len(covered), max(float(mass.mean()), 1e-6))])
    everything = np.concatenate([points, covered]) if len(covered) else points
    assigned, centres = kmeans(everything, k, weights=weights, seed=seed)
    mine = assigned[:n]
    value = scores
    if central:
        offsets = centres[mine]
        offsets -= points
        value = -np.einsum("ij,ij->i", offsets, offsets)
    counts = np.bincount(mine, minlength=k)
    n_covered = np.bincount(assigned[n:], minlength=k)
    best = np.lexsort((-value, mine))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    turn = np.empty(n, dtype=np.int64)
    turn[best] = np.arange(n) - starts[mine[best]]
    return np.lexsort((-value, counts[mine], turn + n_covered[mine]))
