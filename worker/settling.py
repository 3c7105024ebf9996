"""One label a row out of what several people said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from worker.round_data import IntArray, RoundData


def settled(data: RoundData) -> RoundData:
    """The same with one label a row, none of a measured row, and the candidates that are left."""
    keep = ~np.isin(data.labeled_rows, data.holdout_rows)
    labeled, y, explored = settle_labels(
        np.asarray(data.labeled_rows, np.int64)[keep],
        np.asarray(data.y, np.int64)[keep],
        np.asarray(data.exploration, bool)[keep],
        data.n_classes,
    )
    taken = np.zeros(len(data.features), dtype=bool)
    for rows in (labeled, data.holdout_rows, data.pending_rows):
        taken[rows] = True
    candidates = np.unique(np.asarray(data.candidate_rows, np.int64))
    return replace(data, candidate_rows=candidates[~taken[candidates]], labeled_rows=labeled, y=y, exploration=explored)


def settle_labels(
    rows: IntArray, y: IntArray, exploration: NDArray[np.bool_], n_classes: int
) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
    """One label a row: what most people said, and what was said first where they are even.

    Args:
        rows: Shape ``(l,)``: labelled rows, a row once for each label, oldest first.
        y: Shape ``(l,)``: class indices.
        exploration: Shape ``(l,)``: whether the row was drawn uniformly.
        n_classes: Number of classes.

    Returns:
        Unique rows in ascending order, their classes, and whether any of their labels came from exploration.

    >>> settle_labels(np.array([7, 5, 5, 5]), np.array([1, 0, 2, 2]), np.array([True, False, False, False]), 3)
    (array([5, 7]), array([2, 1]), array([False,  True]))
    """
    unique, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    explored = np.zeros(len(unique), dtype=bool)
    np.logical_or.at(explored, inverse, exploration.astype(bool))
    if len(unique) == len(rows):
        return unique, y[first].astype(np.int64), explored
    # Votes first, then how early a class was named: an earlier one adds a larger share of less than one vote.
    votes = np.zeros((len(unique), n_classes))
    np.add.at(votes, (inverse, y), 1.0)
    for position in range(len(rows) - 1, -1, -1):
        earliness = 0.5 * (1.0 - position / len(rows))
        votes[inverse[position], y[position]] = np.floor(votes[inverse[position], y[position]]) + earliness
    return unique, votes.argmax(axis=1).astype(np.int64), explored
