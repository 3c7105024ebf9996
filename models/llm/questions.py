"""What to ask a language model: which rows, and which labelled rows to show it with each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.half import widen
from models.regularisation import MIN_EXPLORATION

MEASURED = 100
"""Rows with labels that it is asked about, so that it is known how good it is: to about ±8 points."""
SHOWN_SHARE = 1 / 3
"""Of each class's labels, those that questions may show: what was shown cannot tell what the answers are worth."""

IntArray = NDArray[np.int64]


def choose_measured(
    labeled: IntArray, explored: NDArray[np.bool_], answered: IntArray, n: int, *, rng: Any
) -> IntArray:
    """Labelled rows to ask about, so that its answers can be held against people's: at most ``n``.

    Args:
        labeled: Shape ``(l,)``: labelled rows.
        explored: Shape ``(l,)``: which of them were drawn uniformly. From 30 on only they are asked about: on items
            that were chosen for being hard it would look worse than it is.
        answered: Rows that it has been asked about.
        n: How many may be asked.
        rng: A generator: draws them.
    """
    able = labeled[explored] if explored.sum() >= MIN_EXPLORATION else labeled
    wanted = min(n, MEASURED - int(np.isin(able, answered).sum()))
    fresh = np.setdiff1d(able, answered)
    if wanted <= 0 or not len(fresh):
        return fresh[:0]
    drawn: IntArray = rng.permutation(fresh)[:wanted]
    return drawn


def choose_shown(y: IntArray, explored: NDArray[np.bool_], keys: NDArray[Any]) -> IntArray:
    """Places of the labels that questions may show: a third of each class and one at least, in ascending order.

    Args:
        y: Shape ``(l,)``: classes of the labelled rows.
        explored: Shape ``(l,)``: which were drawn uniformly: only of a class that has no other labels are they
            shown, for teachers are judged by them.
        keys: Shape ``(l,)``: what orders them, bound to the rows, so that they stay the same while labels come.

    >>> choose_shown(np.array([0, 0, 0, 1]), np.array([True, False, False, True]), np.array([1, 9, 5, 2])).tolist()
    [2, 3]
    """
    order = np.lexsort((keys, explored))
    shown: list[int] = []
    for label in np.unique(y).tolist():
        own = order[y[order] == label]
        chosen = own[~explored[own]] if not explored[own].all() else own
        shown += chosen[: max(1, round(SHOWN_SHARE * len(own)))].tolist()
    return np.sort(np.array(shown, dtype=np.int64))


def choose_unlabelled(
    candidates: IntArray,
    probabilities: NDArray[Any],
    groups: IntArray | None,
    answered: IntArray,
    n: int,
    *,
    doubted: float,
    rng: Any,
) -> IntArray:
    """Unlabelled rows to learn from: a share that the head doubts most, and the rest drawn at random.

    Doubted ones alone lie along the borders between classes, where answers are worst and a head learns little of the
    rest of the pool; see docs/llm.md for what each share gave.

    Args:
        candidates: Shape ``(m,)``: unlabelled rows.
        probabilities: The head's, shape ``(m, n_classes)``.
        groups: Shape ``(pool,)``: what near-duplicates share; one of each group is asked about. None: all differ.
        answered: Rows that it has been asked about; none of their near-duplicates is.
        n: How many may be asked.
        doubted: The share of them between whose two likeliest classes the head decides least.
        rng: A generator: draws the others.

    Returns:
        At most ``n`` rows, the most doubted first.
    """
    if n <= 0 or not len(candidates):
        return candidates[:0]
    top = np.partition(probabilities, -2, axis=1)[:, -2:]
    by_doubt = candidates[np.lexsort((candidates, top[:, 1] - top[:, 0]))]
    first = _one_of_each(by_doubt, groups, answered)[: round(doubted * n)]
    drawn = _one_of_each(rng.permutation(candidates), groups, np.concatenate([answered, first]))[: n - len(first)]
    return np.concatenate([first, drawn]).astype(np.int64)


def _one_of_each(rows: IntArray, groups: IntArray | None, taken: IntArray) -> IntArray:
    """The first row of each group, in order, of which no row is taken."""
    alike, gone = (rows, taken) if groups is None else (groups[rows], groups[taken])
    firsts = np.sort(np.unique(alike, return_index=True)[1])
    left: IntArray = rows[firsts[~np.isin(alike[firsts], gone)]]
    return left


def choose_examples(
    features: Any, labeled: IntArray, y: IntArray, row: int, k: int, *, groups: IntArray | None = None
) -> IntArray:
    """Places, in ``labeled``, of up to ``k`` rows to show beside ``row``: classes in turn, of each the nearest first.

    The row itself and its near-duplicates are never shown: they would give its answer away.

    Args:
        features: Of the pool, (N, d), rows compared by the angle between them.
        labeled: Shape ``(l,)``: rows that may be shown.
        y: Shape ``(l,)``: their classes.
        row: The row that is asked about.
        k: How many.
        groups: As in `choose_unlabelled`.

    Returns:
        The nearest last, right before the question.
    """
    alike = labeled == row if groups is None else groups[labeled] == groups[row]
    able = np.flatnonzero(~alike)
    if k <= 0 or not len(able):
        return able[:0]
    shown = widen(np.ascontiguousarray(features[labeled[able]]))
    asked = widen(np.ascontiguousarray(features[[row]]))[0]
    lengths = np.sqrt(np.einsum("ij,ij->i", shown, shown)) * np.sqrt(asked @ asked)
    nearness = np.einsum("ij,j->i", shown, asked) / np.maximum(lengths, 1e-12)
    order = np.lexsort((labeled[able], -nearness))
    # The turn of each: how many of its class are nearer. Those of one turn come by nearness.
    turns = np.empty(len(able), dtype=np.int64)
    seen: dict[int, int] = {}
    for place in order:
        label = int(y[able[place]])
        turns[place] = seen[label] = seen.get(label, -1) + 1
    by_turn = order[np.argsort(turns[order], kind="stable")][:k]
    nearest_last = by_turn[np.lexsort((-labeled[able][by_turn], nearness[by_turn]))]
    return able[nearest_last]
