"""Covering a pool: greedy maximisation of how near, by a kernel, each point is to what is picked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points, kmeans, nearest_distances, square_distances
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

Kernel = NDArray[np.float32]

_STALE_AT_ONCE = 32
_ROUNDS = 4  # how often all may be covered once more; what is left then is as good as any other
_NOTHING = 1e-7  # of the largest first gain: what rounding leaves of no gain
_CHUNK_ROWS = 512
_TINY = 1e-12
PURE = 0.95
"""The share of balls that must hold one group only; what Yehuda et al. 2022 use."""


def gaussian(square: Kernel, bandwidth: float) -> Kernel:
    """Turn squared distances into exp(−d² / 2b²), in place; 1 for distance 0 whatever the bandwidth."""
    square *= np.float32(-0.5 / max(bandwidth * bandwidth, _TINY))
    np.exp(square, out=square)
    return square


def greedy_cover(
    kernel: Kernel, weights: FloatArray, covered: Kernel, size: int
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Pick, again and again, the point that adds most to the weighted coverage (Bae, Noh & Sutherland 2024).

    Coverage is the sum over all points of their weight times their largest similarity to anything covered. Lazy
    (Minoux 1978): a gain only shrinks as picks come, so an old one is a bound, and only those on top are brought up to
    date; the picks are those of the plain algorithm. Where nothing can be gained any more, all counts as uncovered once
    more, so that what follows covers it a second time.

    Args:
        kernel: Shape ``(m, n)``: similarity in [0, 1] of what may be picked to what is to be covered.
        weights: Shape ``(n,)``, ≥ 0.
        covered: Shape ``(n,)``: the largest similarity to what is covered already; 0 where nothing is.
        size: How many to pick.

    Returns:
        Positions, at most ``size`` of them, fewer where all that is left adds nothing; what each added; whether it was
        picked before all was covered.

    Raises:
        InvalidInput: Shapes that do not go together.

    >>> kernel = np.float32([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    >>> picks, gains, _ = greedy_cover(kernel, np.ones(3), np.zeros(3, np.float32), 2)
    >>> picks.tolist(), gains.tolist()
    ([0, 2], [2.0, 1.0])
    """
    m, n = kernel.shape
    if weights.shape != (n,) or covered.shape != (n,):
        raise InvalidInput("weights", f"shapes {weights.shape}, {covered.shape} do not go with a kernel {kernel.shape}")
    size = min(size, m)
    w = weights.astype(np.float32)
    state = _Cover(kernel, w, covered.astype(np.float32))
    picks: list[int] = []
    gains: list[float] = []
    first: list[bool] = []
    rounds = 1
    while len(picks) < size:
        position, gain = state.best()
        if gain <= state.nothing:
            if rounds == _ROUNDS:
                break
            rounds += 1
            state.restart(np.array(picks, dtype=np.int64))
            position, gain = state.best()
            if gain <= state.nothing:
                break
        picks.append(position)
        gains.append(gain)
        first.append(rounds == 1)
        state.take(position)
    return np.array(picks, dtype=np.int64), np.array(gains, dtype=np.float64), np.array(first, dtype=bool)


class _Cover:
    """Coverage so far, and for each point a bound on what it would add."""

    def __init__(self, kernel: Kernel, weights: NDArray[np.float32], covered: NDArray[np.float32]):
        self._kernel = kernel
        self._weights = weights
        self._covered = covered
        self._taken = 0
        self._bound = np.empty(len(kernel))
        self._fresh = np.zeros(len(kernel), dtype=np.int64)
        self._all(np.empty(0, dtype=np.int64))
        # Against the most that any point could add: what is covered already must not make noise look like a gain.
        self.nothing = _NOTHING * float(weights.sum(dtype=np.float64))

    def _all(self, picked: IntArray) -> None:
        for start in range(0, len(self._kernel), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            gains = self._kernel[rows] - self._covered
            self._bound[rows] = np.maximum(gains, 0.0, out=gains) @ self._weights
        self._bound[picked] = -1.0
        self._fresh[:] = self._taken

    def best(self) -> tuple[int, float]:
        """The point that adds most, and how much."""
        while True:
            top = int(np.argmax(self._bound))
            if self._fresh[top] == self._taken:
                return top, float(self._bound[top])
            k = min(_STALE_AT_ONCE, len(self._bound))
            stale = np.argpartition(-self._bound, k - 1)[:k] if k < len(self._bound) else np.arange(k)
            stale = stale[(self._fresh[stale] < self._taken) & (self._bound[stale] >= 0.0)]
            if self._fresh[top] < self._taken and top not in stale:
                stale = np.append(stale, top)
            self._bound[stale] = np.maximum(self._kernel[stale] - self._covered, 0.0) @ self._weights
            self._fresh[stale] = self._taken

    def take(self, position: int) -> None:
        """Count a point as covered."""
        np.maximum(self._covered, self._kernel[position], out=self._covered)
        self._bound[position] = -1.0
        self._taken += 1

    def restart(self, picked: IntArray) -> None:
        """Forget what is covered, but not what was picked."""
        self._covered = np.zeros_like(self._covered)
        self._all(picked)


def coverage_of(points: Points, covered: Points, bandwidth: float) -> NDArray[np.float32]:
    """The largest similarity of each point to anything covered, 0 where there is nothing: shape ``(n,)``."""
    return gaussian(nearest_distances(points, covered), bandwidth)


def pure_radius(points: Points, n_groups: int, seed: int, *, pure: float = PURE) -> float:
    """The largest radius at which most balls around the points hold one group of a k-means only (Yehuda et al. 2022).

    A ball is pure as long as its radius is below the distance to the nearest point of another group, so the radius
    sought is a quantile of those distances. Half the largest distance where there is one group.

    Args:
        points: Shape ``(n, d)``, n ≥ 1.
        n_groups: As many groups as there are classes.
        seed: Seed of the clustering.
        pure: The share of balls that must be pure.
    """
    groups, _ = kmeans(points, n_groups, seed=seed)
    if (groups == groups[0]).all():
        return 0.5 * float(np.sqrt(square_distances(points[:1], points).max()))
    other = np.empty(len(points), dtype=np.float32)
    for start in range(0, len(points), _CHUNK_ROWS):
        rows = slice(start, start + _CHUNK_ROWS)
        distances = square_distances(points[rows], points)
        distances[groups[rows, None] == groups[None, :]] = np.inf
        other[rows] = distances.min(axis=1)
    return float(np.sqrt(np.quantile(other, 1.0 - pure, method="lower")))
