"""Distances between points, and k-means."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.half import all_finite, widen
from sampler.scores import FloatArray, IntArray

Points = NDArray[np.float32]

_CHUNK_ROWS = 4_096
_HALF_ROWS = 512
_CHUNK_DISTANCES = 262_144  # 1 MB: what is done to them one after the other stays within the cache of one core
_LLOYD_STEPS = 8
_START_POINTS = 500
_LARGEST_LLOYD = 8_000_000
_MOST_PAIRED = 3_000  # 36 MB of distances


def gather(features: NDArray[np.floating], rows: IntArray) -> Points:
    """The features of ``rows`` as float32, read in order so that a memory-mapped file is passed over once.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        rows: Shape ``(k,)``.

    Returns:
        Shape ``(k, d)``, float32.

    Raises:
        InvalidInput: A feature is NaN or infinite.
    """
    points = np.empty((len(rows), features.shape[1]), dtype=np.float32)
    if features.dtype == np.float16:
        stored = HalfRows(features, rows)
        for start in range(0, len(rows), _HALF_ROWS):
            widen(stored[start : start + _HALF_ROWS], points[start:])
        return points
    for start in range(0, len(rows), _CHUNK_ROWS):
        points[start : start + _CHUNK_ROWS] = features[rows[start : start + _CHUNK_ROWS]]
    # The sum is NaN or infinite when a value is; it costs no array of booleans. An overflow is settled by looking.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(points.sum(dtype=np.float64))
    if suspicious and not np.isfinite(points).all():
        _refuse(points, rows)
    return points


@dataclass(frozen=True)
class HalfRows:
    """Rows of a float16 store, read each time they are asked for, so that no copy of many is kept.

    Attributes:
        features: Shape ``(n, d)``, possibly memory-mapped.
        rows: Shape ``(k,)``.
    """

    features: NDArray[np.float16]
    rows: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        """``(k, d)``."""
        return len(self.rows), self.features.shape[1]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: IntArray | slice) -> NDArray[np.float16]:
        """Those at positions ``at``.

        Raises:
            InvalidInput: A feature is NaN or infinite.
        """
        rows = self.rows[at]
        chunk = np.asarray(self.features[rows])
        if not all_finite(chunk):
            _refuse(chunk, rows)
        return chunk


def _refuse(points: NDArray[np.floating], rows: IntArray) -> None:
    row = int(rows[np.argmax(~np.isfinite(points).all(axis=1))])
    raise InvalidInput("features", f"row {row} holds NaN or infinity; encode it again or leave it out")


def square_distances(a: Points, b: Points) -> NDArray[np.float32]:
    """Squared Euclidean distances between each of ``a`` (n, d) and each of ``b`` (m, d): shape ``(n, m)``, ≥ 0.

    >>> square_distances(np.float32([[0, 0], [3, 4]]), np.float32([[0, 0]])).tolist()
    [[0.0], [25.0]]
    """
    distances: NDArray[np.float32] = a @ b.T
    distances *= -2.0
    distances += np.einsum("ij,ij->i", a, a)[:, None]
    distances += np.einsum("ij,ij->i", b, b)[None, :]
    np.maximum(distances, 0.0, out=distances)
    return distances


def nearest_distances(points: Points, others: Points) -> NDArray[np.float32]:
    """Squared distance of each point to the nearest of ``others``; infinite where there are none. Shape ``(n,)``."""
    nearest = np.full(len(points), np.inf, dtype=np.float32)
    if len(others) == 0:
        return nearest
    step = max(64, _CHUNK_DISTANCES // len(others))
    for start in range(0, len(points), step):
        nearest[start : start + step] = square_distances(points[start : start + step], others).min(axis=1)
    return nearest


def kmeans(points: Points, k: int, *, weights: FloatArray | None = None, seed: int = 0) -> tuple[IntArray, Points]:
    """Cluster by k-means: scikit-learn's, seeded, one start; mini-batches where the problem is large.

    Args:
        points: Shape ``(n, d)``.
        k: Number of clusters; at most ``n`` are made.
        weights: Shape ``(n,)``, not negative; all equal when None.
        seed: Seed of the start.

    Returns:
        The cluster of each point, shape ``(n,)``, and the centres, shape ``(≤ k, d)``.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    n, k = len(points), min(k, len(points))
    if k <= 1:
        centre = points.mean(axis=0, keepdims=True) if n else points[:0]
        return np.zeros(n, dtype=np.int64), centre
    if weights is not None and not weights.any():
        weights = None
    random_state = seed % (1 << 32)
    # Starts are spread over a part of the points: over all of them that costs several times the clustering itself.
    part = np.random.default_rng(seed).choice(n, min(n, max(_START_POINTS, 5 * k)), replace=False)
    part_weights = np.ones(len(part)) if weights is None else weights[part] + 1e-12
    starts = points[part[spread_starts(points[part], k, part_weights, random_state)]]
    if n * k <= _LARGEST_LLOYD:
        # For a tolerance, which so few steps seldom reach, scikit-learn looks at the spread of all columns first.
        model = KMeans(k, init=starts, n_init=1, max_iter=_LLOYD_STEPS, tol=0.0, random_state=random_state)
    else:
        model = MiniBatchKMeans(
            k, init=starts, n_init=1, max_iter=3, batch_size=max(1_024, 2 * k), random_state=random_state
        )
    with warnings.catch_warnings():
        # Fewer distinct points than clusters is nothing to warn of: the spare clusters stay empty.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(points, sample_weight=weights)
    return model.labels_.astype(np.int64), model.cluster_centers_.astype(np.float32)


def spread_starts(points: Points, k: int, weights: FloatArray, seed: int) -> IntArray:
    """Positions of ``k`` points far from one another: greedy k-means++ (Arthur & Vassilvitskii 2007).

    scikit-learn's draws, step by step, with the distances between all points made at once in float32 where they fit:
    a fifth of its time.

    Args:
        points: Shape ``(n, d)``.
        k: How many, at most ``n``.
        weights: Shape ``(n,)``, > 0.
        seed: Seed of the draws, below 2³².

    Returns:
        Shape ``(k,)``; where fewer points differ than are wanted, some are equal.
    """
    from sklearn.cluster import kmeans_plusplus

    n = len(points)
    if n > _MOST_PAIRED:
        _, chosen = kmeans_plusplus(points, k, sample_weight=weights, random_state=seed)
        return np.asarray(chosen, dtype=np.int64)
    random = np.random.RandomState(seed)  # the generator that scikit-learn makes of a seed
    distances = square_distances(points, points)
    np.fill_diagonal(distances, 0.0)
    tried = 2 + int(np.log(k))
    chosen = np.empty(k, dtype=np.int64)
    chosen[0] = random.choice(n, p=weights / weights.sum())
    nearest = distances[chosen[0]]
    potential = float(nearest @ weights)
    for done, uniform in enumerate(random.uniform(size=(k - 1, tried)), 1):
        masses = (weights * nearest).cumsum()
        drawn = np.minimum(masses.searchsorted(uniform * potential), n - 1)
        closer = np.minimum(nearest, distances[drawn])
        potentials = closer @ weights
        best = int(potentials.argmin())
        potential, nearest, chosen[done] = float(potentials[best]), closer[best], drawn[best]
    return chosen
