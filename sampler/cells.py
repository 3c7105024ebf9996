"""Approximate nearest neighbours in time that grows with the rows, not with their square: cells of a k-means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler.batch import tie_keys
from sampler.diversity import Points, kmeans, square_distances
from sampler.neighbours import BestFound, Nearest
from sampler.placing import Features, Placing, Queries
from sampler.scores import IntArray
from sampler.threads import single_thread

CELL_ROWS = 256
"""About how many references share a cell."""
PROBES = 16
"""In how many cells each query looks: the nearest to it."""
_MOST_CELLS = 4_096
_MOST_CELL_ROWS = 8 * CELL_ROWS
_SAMPLE_PER_CELL = 32
_BLOCK_ROWS = 4_096
_QUERY_ROWS = 8_192


def nearest_in_cells(
    features: Features, queries: Queries, references: IntArray, k: int, placing: Placing, seed: int
) -> Nearest:
    """The nearest references in the 16 cells around each query: an inverted file (Jégou, Douze & Schmid 2011).

    Queries are taken in the order of their cells, so that a block of them shares few cells and each meeting of a cell
    with those that look into it is one matrix product.

    Args:
        features: Shape ``(n, d)``.
        queries: The ``m`` queries.
        references: Shape ``(r,)``, ascending.
        k: How many neighbours.
        placing: Makes points of features.
        seed: Seed of the k-means and of the sample that it sees.

    Returns:
        As `nearest_rows`; with the same seed the same.
    """
    with single_thread():  # the products are small: two threads took 39 s for what one does in 18
        return _search(features, queries, references, k, placing, seed)


def _search(features: Features, queries: Queries, references: IntArray, k: int, placing: Placing, seed: int) -> Nearest:
    centres = _centres(features, references, placing, seed)
    probes = _nearest_cells(queries, centres, placing, PROBES)
    homes = _nearest_cells(Queries(features, references, own=True), centres, placing, 1)[:, 0]
    order = np.argsort(homes, kind="stable")
    members = np.split(references[order], np.searchsorted(homes[order], np.arange(1, len(centres))))
    members = [_bounded(rows, seed) for rows in members]
    found = Nearest.empty(len(queries), k)
    turn = np.lexsort((queries.rows, probes[:, 0]))
    for start in range(0, len(turn), _QUERY_ROWS):
        block = turn[start : start + _QUERY_ROWS]
        best = BestFound(queries, block, k, placing)
        looks = probes[block]
        for cell in np.unique(looks):
            if len(members[cell]):
                best.compare(features, members[cell], np.flatnonzero((looks == cell).any(axis=1)))
        best.write(found)
    return found


def _centres(features: Features, references: IntArray, placing: Placing, seed: int) -> Points:
    n_cells = int(np.clip(len(references) // CELL_ROWS, 1, _MOST_CELLS))
    sample = references
    if len(references) > n_cells * _SAMPLE_PER_CELL:
        sample = np.sort(references[np.argsort(tie_keys(references, seed))[: n_cells * _SAMPLE_PER_CELL]])
    _, centres = kmeans(placing.points(features, sample), n_cells, seed=seed)
    return centres


def _nearest_cells(queries: Queries, centres: Points, placing: Placing, probes: int) -> NDArray[np.int16]:
    """The cells whose centres are nearest to each query, the nearest first: shape ``(m, ≤ probes)``, int16."""
    probes = min(probes, len(centres))
    cells = np.empty((len(queries), probes), dtype=np.int16)
    for start in range(0, len(queries), _BLOCK_ROWS):
        block = np.arange(start, min(len(queries), start + _BLOCK_ROWS))
        distances = square_distances(queries.points(block, placing), centres)
        near = np.argpartition(distances, probes - 1, axis=1)[:, :probes]
        ranks = np.argsort(np.take_along_axis(distances, near, axis=1), axis=1, kind="stable")
        cells[block] = np.take_along_axis(near, ranks, axis=1)
    return cells


def _bounded(rows: IntArray, seed: int) -> IntArray:
    """The rows of a cell, or of one far too large, as identical rows make it, a part drawn by hash of their numbers."""
    if len(rows) <= _MOST_CELL_ROWS:
        return rows
    return np.sort(rows[np.argsort(tie_keys(rows, seed))[:_MOST_CELL_ROWS]])
