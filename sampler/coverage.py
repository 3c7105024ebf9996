"""Covering a pool: greedy maximisation of how near, by a kernel, each point is to what is picked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sampler.auto_constants import EVENNESS, HUB_NEIGHBOURS
from sampler.diversity import Points, kmeans, nearest_distances, square_distances
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray
from sampler.symmetric import Symmetric

Kernel = NDArray[np.float32]

_ROUNDS = 4  # how often all may be covered once more; what is left then is as good as any other
_NOTHING = 1e-7  # of the largest first gain: what rounding leaves of no gain
_CHUNK_ROWS = 64
_COVERED_AT_ONCE = 512
_HUB_ROWS = 1_024
_STALE_AT_ONCE = 32
_LEAST_OF_BLOCK = 1 / 16
_GROWTH = 2
_LET_COVER = 0.1  # of what is open at a place, before a block takes nothing there
_BLOCK_REACH = 2  # a block is picked from so many times as many points
_TINY = 1e-12
PURE = 0.95
"""The share of balls that must hold one group only; what Yehuda et al. 2022 use."""


def gaussian(square: Kernel, bandwidth: float) -> Kernel:
    """Turn squared distances into exp(−d² / 2b²), in place; 1 for distance 0 whatever the bandwidth."""
    square *= np.float32(-0.5 / max(bandwidth * bandwidth, _TINY))
    np.exp(square, out=square)
    return square


def greedy_cover(
    kernel: Symmetric | Kernel, weights: FloatArray, covered: Kernel, size: int, *, exact: int | None = None
) -> tuple[IntArray, FloatArray, NDArray[np.bool_]]:
    """Pick, again and again, the point that adds most to the weighted coverage (Bae, Noh & Sutherland 2024).

    Coverage is the sum over all points of their weight times their largest similarity to anything covered. Lazy
    (Minoux 1978): a gain only shrinks as picks come, so an old one is a bound, and only those on top are brought up to
    date; the picks are those of the plain algorithm. Where nothing can be gained any more, all counts as uncovered once
    more, so that what follows covers it a second time; a reserve ends there.

    Args:
        kernel: Shape ``(n, n)``, symmetric: similarity in [0, 1] of the points.
        weights: Shape ``(n,)``, ≥ 0.
        covered: Shape ``(n,)``: the largest similarity to what is covered already; 0 where nothing is.
        size: How many to pick.
        exact: So many are picked one by one, all of them where None. The others are a reserve, picked in blocks, each
            twice as long as all before it: what adds most as the block begins, of which none lies where another of the
            block has covered more than a tenth of what was open.

    Returns:
        Positions, at most ``size`` of them, fewer where all that is left adds nothing; what each added, in a block as
        it began; whether it was picked before all was covered.

    Raises:
        InvalidInput: Shapes that do not go together.

    >>> kernel = np.float32([[1, 1, 0], [1, 1, 0], [0, 0, 1]])
    >>> picks, gains, _ = greedy_cover(kernel, np.ones(3), np.zeros(3, np.float32), 2)
    >>> picks.tolist(), gains.tolist()
    ([0, 2], [2.0, 1.0])
    """
    n = len(kernel)
    shape = (n, n) if isinstance(kernel, Symmetric) else kernel.shape
    if shape != (n, n) or weights.shape != (n,) or covered.shape != (n,):
        raise InvalidInput("weights", f"shapes {weights.shape}, {covered.shape} do not go with a kernel {shape}")
    whole = kernel if isinstance(kernel, Symmetric) else Symmetric.of(kernel)
    size = min(size, n)
    one_by_one = size if exact is None else min(size, max(1, exact))
    state = _Cover(whole, weights.astype(np.float64), covered.astype(np.float32))
    gains: list[float] = []
    first: list[bool] = []
    rounds, blocks = 1, True
    while len(gains) < size:
        reserve = len(gains) >= one_by_one
        if reserve and blocks:
            wanted = min(_GROWTH * len(gains), size - len(gains))
            added = state.pick_block(wanted)
            if len(added) < _LEAST_OF_BLOCK * wanted:  # few lie apart: a block costs more than its picks
                blocks = False
                state.recompute()
        else:
            added = state.pick()
        if added:
            gains += added
            first += [rounds == 1] * len(added)
            continue
        if reserve or rounds == _ROUNDS or state.is_new:
            break
        rounds += 1
        state.restart()
    return np.array(state.picks, dtype=np.int64), np.array(gains, dtype=np.float64), np.array(first, dtype=bool)


class _Cover:
    """Coverage so far, and for each point a bound on what it would add to it, in double precision.

    A bound has two parts. What a point adds left of its own stripe lies in the rows of earlier points; a pick comes
    nearer than all before it to few of them, and takes from the bounds at once what those few lose. What it adds from
    its stripe on lies in its own row, and is summed up anew when the point is on top.
    """

    def __init__(self, kernel: Symmetric, weights: NDArray[np.float64], covered: Kernel):
        n = len(kernel)
        self._stripes = [(start, start + len(stripe), stripe) for start, stripe in kernel.placed()]
        self._kernel = kernel
        self._weights = weights
        self._covered = covered
        self._left, self._own = np.zeros(n), np.zeros(n)
        self._fresh = np.zeros(n, dtype=np.int64)  # how many of the picks the second part knows of
        self.picks: list[int] = []
        self.is_new = True  # nothing was picked since all counted as uncovered
        # Against the most that any point could add: what is covered already must not make noise look like a gain.
        self.nothing = _NOTHING * float(weights.sum())
        self.recompute()

    def recompute(self) -> None:
        """Make all bounds exact."""
        self._left[:] = 0.0
        for start, stop, stripe in self._stripes:
            for first in range(start, stop, _CHUNK_ROWS):
                rows = slice(first, min(stop, first + _CHUNK_ROWS))
                part = stripe[first - start : rows.stop - start]
                self._own[rows] = self._added(part, start)
                later = np.maximum(part[:, stop - start :], self._covered[rows, None])
                weights = self._weights[rows]
                self._left[stop:] += weights @ later.astype(np.float64) - weights @ self._covered[rows]
        self._left[self.picks] = -np.inf
        self._bound = self._left + self._own
        self._fresh[:] = len(self.picks)

    def _added(self, rows: Kernel, start: int) -> NDArray[np.float64]:
        """What rows of the stripe that begins at ``start`` add to the coverage of the points from there on."""
        covered, weights = self._covered[start:], self._weights[start:]
        after: NDArray[np.float64] = np.maximum(rows, covered).astype(np.float64) @ weights
        return after - covered.astype(np.float64) @ weights

    def pick(self) -> list[float]:
        """Take the point that adds most; what it added, or nothing where nothing can be gained."""
        while True:
            top = int(np.argmax(self._bound))
            if self._fresh[top] == len(self.picks):
                break
            self._refresh(top)
        gain = float(self._bound[top])
        if gain <= self.nothing:
            return []
        self._take(top)
        return [gain]

    def pick_block(self, size: int) -> list[float]:
        """Take up to ``size`` points at once that add much and lie apart; what each would have added as the first.

        Bounds are out of date after it: `recompute` before the next `pick`.
        """
        self.recompute()
        reach = min(_BLOCK_REACH * size, len(self._bound))
        top = np.sort(np.argpartition(-self._bound, reach - 1)[:reach])
        top = top[self._bound[top] > self.nothing]
        among = self._kernel.square(top)
        before = self._covered[top]
        most = before + _LET_COVER * np.maximum(among.diagonal() - before, 0.0)
        nearest, taken = before.copy(), []
        for place in np.argsort(-self._bound[top], kind="stable"):
            if nearest[place] <= most[place]:
                taken.append(place)
                np.maximum(nearest, among[place], out=nearest)
                if len(taken) == size:
                    break
        block = top[taken]
        np.maximum(self._covered, self._kernel.row_maxima(np.sort(block)), out=self._covered)
        self.picks += block.tolist()
        self.is_new = self.is_new and not len(block)
        gains: list[float] = self._bound[block].tolist()
        self._left[block] = self._bound[block] = -np.inf
        return gains

    def _refresh(self, top: int) -> None:
        """Bring ``top`` and the others of its stripe with the largest bounds up to date."""
        start, stop, stripe = next(s for s in self._stripes if top < s[1])
        bounds = self._bound[start:stop]
        k = min(_STALE_AT_ONCE, len(bounds))
        stale = start + np.argpartition(-bounds, k - 1)[:k]
        stale = stale[(self._fresh[stale] < len(self.picks)) & np.isfinite(self._bound[stale])]
        if top not in stale:
            stale = np.append(stale, top)
        self._own[stale] = self._added(stripe[stale - start], start)
        self._bound[stale] = self._left[stale] + self._own[stale]
        self._fresh[stale] = len(self.picks)

    def _take(self, position: int) -> None:
        """Count a point as covered."""
        row = self._kernel.row(position)
        nearer = np.flatnonzero(row > self._covered)
        for start, stop, stripe in self._stripes[:-1]:
            first, last = np.searchsorted(nearer, [start, stop])
            for begin in range(first, last, _CHUNK_ROWS):
                changed = nearer[begin : min(last, begin + _CHUNK_ROWS)]
                lost = np.minimum(stripe[changed - start, stop - start :], row[changed, None])
                lost -= self._covered[changed, None]
                np.maximum(lost, 0.0, out=lost)
                less = self._weights[changed] @ lost.astype(np.float64)
                self._left[stop:] -= less
                self._bound[stop:] -= less
        np.maximum(self._covered, row, out=self._covered)
        self._left[position] = self._bound[position] = -np.inf
        self.picks.append(position)
        self.is_new = False

    def restart(self) -> None:
        """Forget what is covered, but not what was picked."""
        self._covered = np.zeros_like(self._covered)
        self.is_new = True
        self.recompute()


def coverage_of(points: Points, covered: Points, bandwidth: float) -> NDArray[np.float32]:
    """The largest similarity of each point to anything covered, 0 where there is nothing: shape ``(n,)``."""
    return gaussian(nearest_distances(points, covered), bandwidth)


def evened(
    kernel: Symmetric, points: Points, covered: Points, bandwidth: float
) -> tuple[Symmetric, NDArray[np.float32]]:
    """The kernel, and the coverage of its points, as they are where nobody is near to everybody.

    In many dimensions a few points, hubs, lie nearer to all others than those lie to one another, though they are like
    none of them; coverage would ask for them first. So each similarity is divided by how near either side is to the
    points on average, as a share of what is usual, to a power that is the larger the more there are hubs (`evenness`);
    at 0.5 that is the symmetric normalisation of graphs.

    Args:
        kernel: Similarities of the points: shape ``(n, n)``; changed in place.
        points: Shape ``(n, d)``.
        covered: Shape ``(c, d)``.
        bandwidth: Of the kernel.

    Returns:
        The kernel, and as `coverage_of` what covers each point, both no longer bounded by 1.
    """
    means = kernel.row_means()
    power, usual = evenness(hubness(points, means)), float(means.mean())
    factors = ((usual / means) ** power).astype(np.float32)
    most = np.zeros(len(points), dtype=np.float32)
    for start in range(0, len(covered), _COVERED_AT_ONCE):
        near = gaussian(square_distances(points, covered[start : start + _COVERED_AT_ONCE]), bandwidth)
        near_all = np.maximum(near.mean(axis=0, dtype=np.float64), _TINY)
        near *= ((usual / near_all) ** power).astype(np.float32)
        np.maximum(most, near.max(axis=1), out=most)
    return kernel.scaled(factors), most * factors


def evenness(hubs: float) -> float:
    """The power by which a kernel is evened out: one half at a `hubness` of one half, steep around it, in [0, 1]."""
    return float(np.clip(0.5 + EVENNESS * (hubs - 0.5), 0.0, 1.0))


def hubness(points: Points, nearness: NDArray[np.float64]) -> float:
    """How far points that are near to all are among the nearest of many: a rank correlation, 0 where it is negative.

    That is what tells hubs from points of a dense group, which have close neighbours of their own (Radovanović,
    Nanopoulos & Ivanović 2010). Of ranks, since how often a hub is among the nearest has no bound: among rows of counts
    one was for 452 of 1,024. Looks at 1,024 points, evenly spaced.

    Args:
        points: Shape ``(n, d)``.
        nearness: Shape ``(n,)``: how near each is to all.
    """
    step = max(1, -(-len(points) // _HUB_ROWS))
    some, near = points[::step], nearness[::step]
    k = min(HUB_NEIGHBOURS, len(some) - 1)
    if k < 1:
        return 0.0
    square = square_distances(some, some)
    np.fill_diagonal(square, np.inf)
    nearest = (square <= np.partition(square, k - 1, axis=1)[:, k - 1, None]).sum(axis=0)
    if nearest.std() == 0.0 or near.std() <= _TINY:
        return 0.0
    return max(0.0, rank_correlation(nearest, near))


def rank_correlation(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Spearman's, in [-1, 1]; of values that are not all equal.

    >>> round(rank_correlation(np.array([1, 2, 900]), np.array([0.1, 0.2, 0.3])), 6)
    1.0
    """
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


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
