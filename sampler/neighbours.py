"""Nearest neighbours of rows among other rows: exact in blocks of bounded memory, by cells where that is too slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.placing import Features, Placing, Queries, Scaling, checked_rows
from sampler.scores import IntArray

EXACT_PAIRS = 400_000_000
"""Up to so many pairs of a query and a reference all are compared: at 384 columns nine seconds of one core."""
_QUERY_ROWS = 1_024
_REFERENCE_ROWS = 4_096
_FIRST_ROWS = 512  # the first block only finds a bar for the others to clear
_LOW = np.int64(0xFFFFFFFF)
_SIGN = np.int32(0x7FFFFFFF)
_NOTHING = np.int64((int(np.float32(-np.inf).view(np.int32) ^ _SIGN)) << 32)
"""Below every reference: a score of minus infinity."""


@dataclass(frozen=True)
class Nearest:
    """The neighbours of ``m`` queries, the nearest first; of two at the same distance the lower row number.

    Distances come from sums in float32: what differs by less than their rounding may stand either way round.

    Attributes:
        rows: Shape ``(m, k)``, int32: row numbers; -1 where there are fewer references than ``k``.
        distances: Shape ``(m, k)``, float32: squared Euclidean, ≥ 0; infinite where the row is -1.
    """

    rows: NDArray[np.int32]
    distances: NDArray[np.float32]

    @classmethod
    def empty(cls, m: int, k: int) -> Nearest:
        """Room for the neighbours of ``m`` queries, not filled in."""
        return cls(np.empty((m, k), np.int32), np.empty((m, k), np.float32))

    def __len__(self) -> int:
        return len(self.rows)


def nearest_rows(
    features: Features,
    queries: IntArray | Features,
    references: IntArray,
    k: int = 10,
    *,
    metric: str = "euclidean",
    scaling: Scaling | None = None,
    seed: int = 0,
    exact_pairs: int = EXACT_PAIRS,
) -> Nearest:
    """The ``k`` nearest references of each query; a row is no neighbour of its own.

    Exact up to ``exact_pairs`` comparisons, by cells (`sampler.cells`) above. The exact form uses the threads that the
    caller's limit allows, cells one. The same rows, features and seed give the same neighbours, in whatever order they
    come.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        queries: Row numbers, shape ``(m,)``, or other rows' features, shape ``(m, d)``, floating point.
        references: Shape ``(r,)``: row numbers, each once: who may be a neighbour.
        k: How many, ≥ 1.
        metric: ``euclidean`` or ``cosine``; the same for rows of unit length.
        scaling: As in `QueryContext`.
        seed: Seed of the cells.
        exact_pairs: Above so many pairs cells are used.

    Raises:
        InvalidInput: A shape, a row number or a value is wrong; the message names the argument.

    >>> points = np.float32([[0], [1], [3], [7]])
    >>> nearest_rows(points, np.arange(4), np.array([0, 1, 3]), k=2).rows.tolist()
    [[1, 3], [0, 3], [1, 0], [1, 0]]
    """
    placing = Placing(scaling, metric)
    references = np.sort(checked_rows(references, len(features), "references"))
    if (np.diff(references) == 0).any():
        raise InvalidInput("references", "a row is named twice")
    if k < 1:
        raise InvalidInput("k", f"{k} neighbours cannot be found; ask for one at least")
    source = Queries.of(features, queries)
    if len(source) * len(references) > exact_pairs:
        from sampler.cells import nearest_in_cells

        return nearest_in_cells(features, source, references, k, placing, seed)
    found = Nearest.empty(len(source), k)
    # By row number: a sum's last bit hangs on a row's place in its block, and must not hang on the order of asking.
    turn = np.argsort(source.rows, kind="stable")
    for start in range(0, len(turn), _QUERY_ROWS):
        best = BestFound(source, turn[start : start + _QUERY_ROWS], k, placing)
        for stretch in _stretches(references):
            best.compare(features, stretch)
        best.write(found)
    return found


def recall(
    features: Features,
    queries: IntArray,
    references: IntArray,
    nearest: NDArray[np.integer[Any]],
    *,
    metric: str = "euclidean",
    scaling: Scaling | None = None,
    sample: int = 200,
    seed: int = 0,
) -> float:
    """The share of the true neighbours that ``nearest`` holds, by an exact search for a sample of the queries.

    A neighbour at the distance of the true last one counts: among duplicates any choice is right.

    Args:
        features: Shape ``(n, d)``.
        queries: Row numbers, shape ``(m,)``.
        references: All who may be a neighbour.
        nearest: Shape ``(m, k)``: the rows that were found; -1 for none.
        metric: That of the search.
        scaling: That of the search.
        sample: How many queries to check.
        seed: Draws them.

    Returns:
        0 … 1; 1 where there is nothing to find.
    """
    k = nearest.shape[1]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(nearest))[:sample])
    pairs = len(chosen) * len(references)
    truth = nearest_rows(features, queries[chosen], references, k, metric=metric, scaling=scaling, exact_pairs=pairs)
    placing = Placing(scaling, metric)
    hits = total = 0
    for query, true, given in zip(queries[chosen], truth.distances, nearest[chosen], strict=True):
        true, given = true[np.isfinite(true)], np.unique(given[given >= 0]).astype(np.int64)
        total += len(true)
        if len(true) and len(given):
            points = placing.points(features, given) - placing.points(features, np.array([query]))
            distances = np.einsum("ij,ij->i", points, points)
            near = distances <= true[-1] + 1e-5 * (1.0 + true[-1])  # both are sums in float32
            hits += min(len(true), int((near & (given != query)).sum()))
    return hits / total if total else 1.0


class BestFound:
    """The best references so far of some queries.

    What is kept of a reference is one integer: its score's bits above, its row number's complement below. So one
    partition finds the best, and ties fall to the lower row, whatever the order in which references come.
    """

    def __init__(self, queries: Queries, block: IntArray, k: int, placing: Placing):
        """For the queries at the positions ``block``."""
        self._block = block
        self._own = queries.rows[block] if queries.own else None
        self._points = queries.points(block, placing)
        self._placing = placing
        self._best = np.full((len(block), k), _NOTHING)

    def compare(self, features: Features, rows: IntArray, who: IntArray | None = None) -> None:
        """Hold the references ``rows``, which ascend, against those of the block at ``who``, or all."""
        others = self._placing.points(features, rows)
        points = self._points if who is None else self._points[who]
        # |q - r|² = |q|² - 2 (q·r - |r|²/2): the largest bracket is the nearest.
        scores: NDArray[np.float32] = points @ others.T
        scores -= 0.5 * np.einsum("ij,ij->i", others, others)
        if self._own is not None:
            own = self._own if who is None else self._own[who]
            at = np.minimum(np.searchsorted(rows, own), len(rows) - 1)
            itself = np.flatnonzero(rows[at] == own)
            scores[itself, at[itself]] = -np.inf
        best = self._best if who is None else self._best[who]
        _keep_best(best, scores, rows)
        if who is not None:
            self._best[who] = best

    def write(self, found: Nearest) -> None:
        """Put what was found in its places of ``found``, the nearest first."""
        best = np.flip(np.sort(self._best, axis=1), axis=1)
        missing = best == _NOTHING
        squares = np.einsum("ij,ij->i", self._points, self._points)[:, None]
        distances = np.maximum(squares - 2.0 * np.where(missing, 0.0, _scores_of(best)), 0.0)
        found.rows[self._block] = np.where(missing, -1, _LOW - (best & _LOW))
        found.distances[self._block] = np.where(missing, np.inf, distances)


def _stretches(references: IntArray) -> Iterator[IntArray]:
    start, step = 0, _FIRST_ROWS
    while start < len(references):
        yield references[start : start + step]
        start, step = start + step, _REFERENCE_ROWS


def _keep_best(best: IntArray, scores: NDArray[np.float32], rows: IntArray) -> None:
    """Bring ``best`` (m, k) up to date with a block of scores (m, b) of ``rows`` (b,)."""
    k = best.shape[1]
    bar = best.min(axis=1)
    # A tie with the bar is let in only where its row may be the lower one: never when references come in order.
    lower = bool((rows[0] < _LOW - (bar[bar != _NOTHING] & _LOW)).any())
    limits = _scores_of(bar)[:, None]
    query, column = np.nonzero((scores >= limits) & (scores > -np.inf) if lower else scores > limits)
    keys = _keys(scores[query, column], rows[column])
    if lower:
        better = keys > bar[query]
        query, keys = query[better], keys[better]
    if len(query) == 0:
        return
    counts = np.bincount(query, minlength=len(best))
    touched = np.flatnonzero(counts)
    counts = counts[touched]
    places = k + np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
    merged = np.full((len(touched), k + int(counts.max())), _NOTHING)
    merged[:, :k] = best[touched]
    merged[np.repeat(np.arange(len(touched)), counts), places] = keys
    best[touched] = np.partition(merged, merged.shape[1] - k, axis=1)[:, -k:]


def _keys(scores: NDArray[np.float32], rows: IntArray) -> IntArray:
    bits = (scores + np.float32(0)).view(np.int32)  # adding zero makes one of the two zeros
    ordered = np.where(bits < 0, bits ^ _SIGN, bits).astype(np.int64)
    keys: IntArray = (ordered << np.int64(32)) | (_LOW - rows)
    return keys


def _scores_of(keys: IntArray) -> NDArray[np.float32]:
    ordered = (keys >> np.int64(32)).astype(np.int32)
    return np.where(ordered < 0, ordered ^ _SIGN, ordered).astype(np.int32).view(np.float32)
