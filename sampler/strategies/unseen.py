"""Looking for classes that have no labels yet, by their names, while something else ranks the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.auto_constants import (
    COVERED_BY_ITSELF,
    LEAST_PROMISE,
    LEAST_TRUST,
    NAME_NEIGHBOURS,
    NAMES_TELL,
    NAMES_TELL_FROM,
    PROBE_SHARE,
    SEEK_ROWS,
    SEEK_SHARE,
)
from sampler.batch import tie_keys
from sampler.class_names import ClassNames, names_evidence, names_trust
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import Body
from sampler.strategies.spread import sample


@dataclass(frozen=True)
class Sought:
    """One item for each class that is looked for, the likeliest to be found first.

    Attributes:
        positions: Shape ``(s,)``: positions of candidates, none twice.
        classes: Shape ``(s,)``: the class that each may be of.
        shares: Shape ``(s,)``: how much the name of the class takes of it.
        most: The share of each prefix of the ranking that they may be.
    """

    positions: IntArray
    classes: IntArray
    shares: FloatArray
    most: float


def with_unseen_classes(ctx: QueryContext, size: int, seed: int, body: Body) -> Ranking:
    """What ``body`` ranks, and among it the likeliest items of classes without labels, at most a share of each prefix.

    Those that are looked for count as pending for ``body``, so what it picks is unlike them. They are as many as go
    into one batch, so a ranking that lasts longer goes on without.
    """
    found = seek(ctx, seed)
    if not len(found.positions):
        return body(ctx, size, seed)
    rest = _without(ctx, found.positions)
    n_rest = min(size, len(rest.candidates))
    ranking = body(rest, n_rest, seed) if n_rest else Ranking(np.empty(0, np.int64), np.empty(0), [])
    places = _places(len(found.positions), len(ranking), size, found.most)
    chosen = np.concatenate([ctx.candidates[found.positions], ranking.rows])
    scores = np.concatenate([found.shares, ranking.scores])
    said = [*_reasons(found, ctx), *ranking.reasons]
    return Ranking(chosen[places], scores[places], [said[place] for place in places])


def seek(ctx: QueryContext, seed: int) -> Sought:
    """The items to ask for of classes without labels; none where names are not there or not to be trusted.

    Once four classes have labels, names are trusted if those of the labelled classes find their own
    (`sampler.class_names.names_evidence`), and all that have none are looked for. Before, it is those whose names lie
    in the pool as its items do (`ClassNames.near`), and none in a first batch of two labels a class or more. A class
    is looked for with less and less hope the more labels its name should have brought, and not while one of its
    likeliest items is pending.
    """
    nothing = Sought(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0.0)
    unseen = np.setdiff1d(np.arange(ctx.n_classes), ctx.y)
    if ctx.names is None or not len(unseen) or not len(ctx.candidates):
        return nothing
    if not len(ctx.covered) and ctx.batch_size >= COVERED_BY_ITSELF * ctx.n_classes:
        return nothing
    positions = sample(ctx, seed, SEEK_ROWS)
    rows = ctx.candidates[positions]
    tried = ctx.names.shares(ctx.labeled)
    trust, share = 1.0, SEEK_SHARE
    if ctx.n_classes - len(unseen) >= NAMES_TELL_FROM:
        wanted = unseen if names_evidence(tried, ctx.y) > NAMES_TELL else unseen[:0]
        trust = names_trust(tried, ctx.y)
    else:
        wanted, share = unseen[ctx.names.near(rows)[unseen]], PROBE_SHARE
    if not len(wanted):
        return nothing
    shares = ctx.names.shares(rows)[:, wanted]
    likeliest = shares.max(axis=0)
    promise = likeliest / (1.0 + tried[:, wanted].sum(axis=0))
    hopeful = (trust * likeliest >= LEAST_TRUST) & (promise >= LEAST_PROMISE)
    hopeful &= ~_asked(ctx.names, ctx.pending, wanted, shares)
    order = np.lexsort((tie_keys(rows[shares.argmax(axis=0)], seed), -promise))
    return _one_each(ctx, positions, shares, wanted, order[hopeful[order]], share)


def _asked(names: ClassNames, pending: IntArray, wanted: IntArray, shares: FloatArray) -> NDArray[np.bool_]:
    """Whether an item in somebody's hands would be among the likeliest of each class."""
    if not len(pending):
        return np.zeros(len(wanted), dtype=bool)
    k = min(NAME_NEIGHBOURS, len(shares))
    least = np.partition(shares, len(shares) - k, axis=0)[len(shares) - k]
    asked: NDArray[np.bool_] = names.shares(pending)[:, wanted].max(axis=0) >= least
    return asked


def _one_each(
    ctx: QueryContext, positions: IntArray, shares: FloatArray, wanted: IntArray, order: IntArray, most: float
) -> Sought:
    """For each class in turn, of the likeliest items that are left, the one that is most like the others of them.

    As many as go into that share of a batch.
    """
    room = math.ceil(most * ctx.batch_size)
    free = np.ones(len(positions), dtype=bool)
    picks: list[int] = []
    columns: list[int] = []
    for column in order:
        if len(picks) == room or not free.any():
            break
        left = np.flatnonzero(free)
        best = left[np.argsort(-shares[left, column], kind="stable")[:NAME_NEIGHBOURS]]
        points = ctx.points(ctx.candidates[positions[best]])
        points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
        weights = shares[best, column]
        pick = int(best[np.argmax((points @ points.T @ weights) * weights)])
        free[pick] = False
        picks.append(pick)
        columns.append(int(column))
    return Sought(positions[picks], wanted[columns], shares[picks, columns].astype(np.float64), most)


def _without(ctx: QueryContext, positions: IntArray) -> QueryContext:
    """The context with these candidates pending."""
    kept = np.ones(len(ctx.candidates), dtype=bool)
    kept[positions] = False
    return replace(
        ctx,
        candidates=ctx.candidates[kept],
        pending=np.unique(np.concatenate([ctx.pending, ctx.candidates[positions]])),
        probabilities=None if ctx.probabilities is None else ctx.probabilities[kept],
        committee=None if ctx.committee is None else ctx.committee[:, kept],
        weights=None if ctx.weights is None else ctx.weights[kept],
    )


def _places(n_sought: int, n_others: int, size: int, most: float) -> IntArray:
    """Which comes when: those sought are 0 … n_sought - 1, the others follow them in number."""
    places: list[int] = []
    sought = others = 0
    while len(places) < min(size, n_sought + n_others):
        due = sought < n_sought and sought < math.ceil(most * (len(places) + 1))
        if due or others == n_others:
            places.append(sought)
            sought += 1
        else:
            places.append(n_sought + others)
            others += 1
    return np.array(places, dtype=np.int64)


def _reasons(found: Sought, ctx: QueryContext) -> list[str]:
    if ctx.class_names is None:
        return [reasons.FIRST_OF_A_CLASS] * len(found.classes)
    return [reasons.first_of(ctx.class_names[label]) for label in found.classes]
