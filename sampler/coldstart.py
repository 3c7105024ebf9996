"""Where to begin without a model: TypiClust (Hacohen, Dekel & Weinshall 2022)."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from sampler.auto_constants import (
    DOUBT_LABELS,
    DOUBT_LABELS_PER_CLASS,
    MOST_CLUSTERS,
    SMALLEST_CLUSTER,
    TYPICALITY_NEIGHBOURS,
)
from sampler.batch import blocks
from sampler.diversity import Points, kmeans, square_distances
from sampler.scores import FloatArray, IntArray

_MOST_MEMBERS = 2_000  # the typicality of a larger cluster's members is measured against a part of it


def typicality(points: Points) -> FloatArray:
    """Inverse mean distance of each point to its 20 nearest among ``points``: shape ``(n,)``, finite, > 0.

    >>> typicality(np.float32([[0.0], [1.0], [2.0]])).round(6).tolist()
    [0.666667, 1.0, 0.666667]
    """
    n = len(points)
    if n < 2:
        return np.ones(n)
    reference = points[:_MOST_MEMBERS]
    k = min(TYPICALITY_NEIGHBOURS, len(reference) - 1)
    mean = np.empty(n)
    for start in range(0, n, _MOST_MEMBERS):
        chunk = square_distances(points[start : start + _MOST_MEMBERS], reference)
        if start == 0:
            np.fill_diagonal(chunk, np.inf)  # nobody is a neighbour of their own
        nearest = np.partition(chunk, k - 1, axis=1)[:, :k]
        mean[start : start + _MOST_MEMBERS] = np.sqrt(nearest, dtype=np.float64).mean(axis=1)
    return 1.0 / np.maximum(mean, 1e-9)


def typiclust(
    everything: Points, n: int, size: int, *, batch_size: int, seed: int, weights: FloatArray | None = None
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """The most typical item of each large cluster that nothing covers yet.

    There are as many clusters as items covered and asked for together. The first batches are each clustered
    afresh; the reserve behind them shares a clustering and goes round it.

    Args:
        everything: Shape ``(n + c, d)``: what may be picked, then what is labelled or in somebody's hands.
        n: How many may be picked.
        size: How many to pick; all where there are fewer.
        batch_size: How many are labelled between two rankings.
        seed: Seed of the clusterings.
        weights: Shape ``(n,)``, > 0: how many items each point stands for; 1 each where None. They count in the
            clusterings and in how large a cluster is.

    Returns:
        Positions, shape ``(min(size, n),)``; the typicality of each; whether nothing covered its cluster before it.
    """
    points, n_covered = everything[:n], len(everything) - n
    size = min(size, n)
    picks: list[int] = []
    scores: list[float] = []
    opened: list[bool] = []
    taken = np.zeros(n, dtype=bool)
    masses = None if weights is None else np.concatenate([weights, np.ones(n_covered)])
    for index, (width, grain) in enumerate(blocks(size, batch_size)):
        k = min(n_covered + len(picks) + grain, MOST_CLUSTERS)
        assigned, _ = kmeans(everything, k, weights=masses, seed=seed + index)
        clusters = _Clusters(points, assigned, taken, masses)
        for _ in range(min(width, n - len(picks))):
            position, score, is_new = clusters.pick()
            taken[position] = True
            picks.append(position)
            scores.append(score)
            opened.append(is_new)
    return (
        np.array(picks[:size], dtype=np.int64),
        np.array(scores[:size], dtype=np.float64),
        np.array(opened[:size], dtype=bool),
    )


class _Clusters:
    """Clusters in the order in which they are due: least covered, then largest; tiny ones last."""

    def __init__(self, points: Points, assigned: IntArray, taken: NDArray[np.bool_], masses: FloatArray | None):
        n = len(points)
        n_clusters = int(assigned.max()) + 1
        sizes = np.bincount(assigned, weights=masses, minlength=n_clusters)
        covered = np.bincount(assigned[n:], minlength=n_clusters)
        covered += np.bincount(assigned[:n][taken], minlength=n_clusters)
        order = np.argsort(assigned[:n], kind="stable")
        starts = np.searchsorted(assigned[:n][order], np.arange(n_clusters + 1))
        self._points = points
        self._taken = taken
        self._members = [order[starts[c] : starts[c + 1]] for c in range(n_clusters)]
        self._ranked: dict[int, tuple[list[int], list[float]]] = {}
        self._due = [
            (bool(sizes[c] < SMALLEST_CLUSTER), int(covered[c]), -int(sizes[c]), c)
            for c in range(n_clusters)
            if len(self._members[c])
        ]
        heapq.heapify(self._due)

    def pick(self) -> tuple[int, float, bool]:
        """The next position, its typicality, and whether its cluster was not covered before."""
        while True:
            tiny, n_covered, size, cluster = heapq.heappop(self._due)
            if cluster not in self._ranked:
                self._ranked[cluster] = self._rank(cluster)
            positions, scores = self._ranked[cluster]
            if not positions:
                continue
            position, score = positions.pop(), scores.pop()
            heapq.heappush(self._due, (tiny, n_covered + 1, size, cluster))
            return position, score, n_covered == 0

    def _rank(self, cluster: int) -> tuple[list[int], list[float]]:
        """What of the cluster may be picked, the most typical last (so that a pop takes it)."""
        members = self._members[cluster]
        scores = typicality(self._points[members])
        free = np.flatnonzero(~self._taken[members])
        order = free[np.argsort(scores[free], kind="stable")]
        return members[order].tolist(), scores[order].tolist()


def is_cold(y: IntArray, n_classes: int) -> bool:
    """Whether there are too few labels for a model's doubts to mean anything.

    >>> is_cold(np.array([0, 1] * 5), n_classes=2), is_cold(np.array([0, 1] * 10), n_classes=2)
    (True, False)
    """
    return len(y) < labels_for_doubts(n_classes) or len(np.unique(y)) < 2


def labels_for_doubts(n_classes: int) -> int:
    """How many labels it takes for a model's doubts to mean anything.

    >>> labels_for_doubts(2), labels_for_doubts(77)
    (20, 154)
    """
    return max(DOUBT_LABELS, DOUBT_LABELS_PER_CLASS * n_classes)
