"""Greedy k-center (core-set), and the distances to a growing set that it and ranked batch mode rest on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sampler.diversity import Points, nearest_distances, square_distances
from sampler.scores import FloatArray, IntArray

Bounds = Callable[[IntArray | slice], FloatArray]

_FRONT = 512
_STALE_AT_ONCE = 128
_COVERED_AT_FIRST = 64
_COMPARED_AT_ONCE = 192  # of the covered: with all of them at once, many more are compared than a pick needs


class Nearest:
    """Bounds on the squared distance of each point to the nearest of what is covered or picked.

    A distance only shrinks as the set grows, so one to a part of the set is a bound; only points that matter are
    compared with all of it (Minoux 1978).

    Attributes:
        square: Shape ``(n,)``: the bounds; infinite where there is nothing yet.
        picks: Positions of the points that were added.
    """

    def __init__(self, points: Points, covered: Points):
        first = covered[: max(_COVERED_AT_FIRST, len(covered) // 8)]
        self.square = nearest_distances(points, first)
        self.picks: list[int] = []
        self._points, self._covered = points, covered
        self._known = np.full(len(points), len(first))  # how many of the covered and the picks each bound knows of

    def take(self, position: int) -> None:
        """Add a point to the set."""
        self.picks.append(position)

    def is_exact(self, position: int) -> bool:
        """Whether its bound knows of the whole set."""
        return bool(self._known[position] == len(self._covered) + len(self.picks))

    def refresh(self, positions: IntArray) -> None:
        """Make these bounds exact."""
        while len(stale := positions[self._known[positions] < len(self._covered) + len(self.picks)]):
            self.advance(stale, int(stale[0]))

    def advance(self, positions: IntArray, top: int) -> None:
        """Compare ``top``, and those of the positions that know about as much, with the next that they do not know of.

        Most bounds fall off the top long before they are exact.
        """
        c, since = len(self._covered), int(self._known[top])
        low = since - since % _COMPARED_AT_ONCE if since < c else c
        until = min(low + _COMPARED_AT_ONCE, c) if since < c else c + len(self.picks)
        known = self._known[positions]
        alike = (known >= low) & (known < until)
        rows, first = positions[alike], int(known[alike].min())
        others = self._covered[first:until] if since < c else self._points[self.picks[first - c :]]
        nearest = nearest_distances(self._points if len(rows) == len(self._points) else self._points[rows], others)
        self.square[rows] = np.minimum(self.square[rows], nearest)
        self._known[rows] = until


class Front:
    """The positions with the largest bounds, so that a pick need not look at all: until they fall below the others.

    Bounds come as a function of positions, in ascending order or all of them (a slice).
    """

    def __init__(self, n: int):
        self._n = n
        self._positions: IntArray = np.empty(0, dtype=np.int64)
        self._most_beyond = np.inf

    def top(self, bounds: Bounds, rise: float = 0.0) -> int:
        """The position with the largest bound, the first of them; ``rise``: by how much any has grown since."""
        self._most_beyond += rise
        if len(self._positions):
            found = self._largest(bounds)
            if found is not None:
                return found
        self._renew(bounds(slice(None)))
        found = self._largest(bounds)
        if found is None:  # more of them are equal than it holds
            self._positions, self._most_beyond = np.arange(self._n), -np.inf
            return int(np.argmax(bounds(slice(None))))
        return found

    def stale(self, bounds: Bounds, top: int) -> IntArray:
        """The positions to bring up to date: ``top`` and some that come next."""
        values = bounds(self._positions)
        k = min(_STALE_AT_ONCE, len(values))
        largest = np.argpartition(-values, k - 1)[:k]
        positions = self._positions[largest[values[largest] > -np.inf]]
        return positions if top in positions else np.append(positions, top)

    def _largest(self, bounds: Bounds) -> int | None:
        values = bounds(self._positions)
        at = int(np.argmax(values))
        return int(self._positions[at]) if values[at] > self._most_beyond else None

    def _renew(self, values: FloatArray) -> None:
        cut = self._n - _FRONT - 1
        if cut < 0:
            self._positions, self._most_beyond = np.arange(self._n), -np.inf
            return
        order = np.argpartition(values, cut)
        self._positions, self._most_beyond = np.sort(order[cut + 1 :]), float(values[order[cut]])


def k_center(points: Points, covered: Points, size: int) -> tuple[IntArray, FloatArray]:
    """Greedy k-center (Sener & Savarese 2018): again and again the point farthest from all that is covered.

    Lazy: an old distance is a bound, and only the points whose bound is on top are brought up to date. The picks are
    those of the plain algorithm.

    Args:
        points: Shape ``(n, d)``: what may be picked.
        covered: Shape ``(c, d)``: what counts as picked already. With none, the point nearest to the mean is first.
        size: How many to pick; all where there are fewer.

    Returns:
        Positions, shape ``(min(size, n),)``, and each pick's distance (not squared) to what was covered before it.
    """
    n, size = len(points), min(size, len(points))
    radii = np.zeros(size)
    if size == 0:
        return np.empty(0, dtype=np.int64), radii
    nearest, front = Nearest(points, covered), Front(n)
    bound = nearest.square
    if len(covered) == 0:
        to_mean = square_distances(points, points.mean(axis=0, keepdims=True))[:, 0]
        first = int(np.argmin(to_mean))
        radii[0] = float(np.sqrt(to_mean[first]))
        nearest.take(first)
        nearest.refresh(np.arange(n))
        bound[first] = -np.inf
    while len(nearest.picks) < size:
        top = front.top(bound.__getitem__)
        if nearest.is_exact(top):
            radii[len(nearest.picks)] = float(np.sqrt(max(float(bound[top]), 0.0)))
            nearest.take(top)
            bound[top] = -np.inf  # never picked again
        else:
            nearest.advance(front.stale(bound.__getitem__, top), top)
    return np.array(nearest.picks, dtype=np.int64), radii
