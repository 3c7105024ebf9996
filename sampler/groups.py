"""Near-duplicates: one asked for each group, which stands for the others; the others behind all of them, never lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.query import QueryContext, QueryStrategy, Ranking, prepared
from sampler.scores import FloatArray, IntArray

EACH_ITEM = frozenset({"random"})
"""Strategies that take no notice of groups: what savings are measured against draws each item alike."""


def rank_groups(strategy: QueryStrategy, ctx: QueryContext, size: int, groups: IntArray | None) -> Ranking:
    """Rank one candidate of each group of near-duplicates, and behind them the others.

    A group's representative is its lowest row, and weighs as much as the group has candidates. A group that holds a
    labelled or pending row needs none: its candidates are among the others, as are those that are not representatives.
    The others are ranked by the same strategy with all representatives counted as pending, so that the start of a
    ranking is the short ranking here too.

    Args:
        strategy: What ranks.
        ctx: What may be ranked, without weights of its own.
        size: How many rows.
        groups: Shape ``(n,)`` for the ``n`` rows of the features: a number in 0 … n - 1 that near-duplicates share and
            others do not. Without groups, with none of more than one row, and for strategies in `EACH_ITEM` this is
            the strategy's plain ranking.

    Raises:
        InvalidInput: Groups of another shape or with other numbers, or as the strategy does.
    """
    if groups is None or strategy.name in EACH_ITEM:
        return strategy.rank(ctx, size)
    if groups.shape != (len(ctx.features),) or (len(groups) and not 0 <= groups.min() <= groups.max() < len(groups)):
        raise InvalidInput("groups", f"not a number in 0 … {len(ctx.features) - 1} for each row")
    ctx = prepared(ctx)
    sizes, first = representatives(ctx.candidates, ctx.covered, groups)
    if first.all():
        return strategy.rank(ctx, size)
    leading = strategy.rank(_part(ctx, first, sizes[first]), size)
    missing = min(size, len(first)) - len(leading)
    if missing <= 0:
        return leading
    behind = _part(ctx, ~first, None)
    behind = replace(behind, pending=np.concatenate([ctx.pending, ctx.candidates[first]]))
    return _joined(leading, strategy.rank(behind, missing))


def representatives(candidates: IntArray, covered: IntArray, groups: IntArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """How many candidates the group of each has, and which of them stand for their group.

    Args:
        candidates: Shape ``(m,)``, ascending.
        covered: Labelled and pending rows: their groups need nobody to stand for them.
        groups: Shape ``(n,)``: the group of each row.

    Returns:
        Two arrays of shape ``(m,)``, float64 and bool.

    >>> sizes, first = representatives(np.array([0, 1, 2, 3]), np.array([4]), np.array([0, 1, 0, 2, 2]))
    >>> sizes.tolist(), first.tolist()
    ([2.0, 1.0, 2.0, 1.0], [True, True, False, False])
    """
    own = groups[candidates]
    counts = np.bincount(own, minlength=len(groups))
    places = np.arange(len(own))
    lowest = np.empty(len(groups), dtype=np.int64)
    lowest[own[::-1]] = places[::-1]  # the last one written stays: the lowest
    needless = np.zeros(len(groups), dtype=bool)
    needless[groups[covered]] = True
    return counts[own].astype(np.float64), (lowest[own] == places) & ~needless[own]


def _part(ctx: QueryContext, kept: NDArray[np.bool_], weights: FloatArray | None) -> QueryContext:
    return replace(
        ctx,
        candidates=ctx.candidates[kept],
        probabilities=None if ctx.probabilities is None else ctx.probabilities[kept],
        committee=None if ctx.committee is None else ctx.committee[:, kept],
        weights=weights,
    )


def _joined(first: Ranking, second: Ranking) -> Ranking:
    drawn = [r.probabilities for r in (first, second) if len(r) and r.probabilities is not None]
    return Ranking(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.scores, second.scores]),
        first.reasons + second.reasons,
        np.concatenate(drawn) if sum(map(len, drawn)) == len(first) + len(second) else None,
    )
