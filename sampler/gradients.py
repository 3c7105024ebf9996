"""Gradient embeddings of a softmax head, never written out: BADGE's (Ash et al. 2020).

If the model's own guess were the label, the gradient of an item's loss would be g = (p − e) ⊗ x, as long as classes
times features. Inner products factorise, ⟨gᵢ, gⱼ⟩ = ⟨aᵢ, aⱼ⟩ · ⟨xᵢ, xⱼ⟩ with a = p − e, and nothing else is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import HalfRows
from sampler.half import widen
from sampler.scores import FloatArray, IntArray

_PROPOSALS = 128
_CHUNK_ROWS = 1_024  # 1.5 MB of 384 columns: widened and multiplied within the cache of one core
_ROUNDING = 1e-5  # of the squared lengths: what float32 leaves of a distance of zero


def residuals(probabilities: FloatArray) -> NDArray[np.float32]:
    """Probabilities minus the one-hot vector of the likeliest class: shape ``(n, n_classes)``.

    >>> residuals(np.array([[0.75, 0.25]])).tolist()
    [[-0.25, 0.25]]
    """
    a = probabilities.astype(np.float32)
    a[np.arange(len(a)), a.argmax(axis=1)] -= 1.0
    return a


@dataclass(frozen=True)
class Residuals:
    """The residuals of rows of probabilities, made each time they are asked for, so that no copy of many is kept.

    Attributes:
        probabilities: Shape ``(m, n_classes)``.
        rows: Shape ``(n,)``: positions in them.
    """

    probabilities: FloatArray
    rows: IntArray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: IntArray | slice) -> NDArray[np.float32]:
        return residuals(self.probabilities[self.rows[at]])


@dataclass(frozen=True)
class Gradients:
    """Gradient embeddings in two factors.

    Attributes:
        a: Shape ``(n, n_classes)``: residuals.
        x: Shape ``(n, d)``: features, float16 or float32; the former are widened a stretch at a time, and may stay in
            their store.
        known: Shape ``(n,)``: their squared lengths, where somebody has them already.
    """

    a: NDArray[np.float32] | Residuals
    x: NDArray[np.floating[Any]] | HalfRows
    known: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.a)

    def __getitem__(self, rows: IntArray) -> Gradients:
        """Some of them, of float32 features."""
        x = self.x[rows]
        wide = x if x.dtype == np.float32 else widen(x, np.empty(x.shape, dtype=np.float32))
        return Gradients(self.a[rows], wide, None if self.known is None else self.known[rows])

    def square_lengths(self) -> NDArray[np.float32]:
        """Squared length of each: shape ``(n,)``."""
        if self.known is not None:
            return self.known
        lengths = np.empty(len(self), dtype=np.float32)
        for part, stretch in self.stretches():
            a, x = stretch.a[:], stretch.x[:]
            lengths[part] = np.vecdot(x, x) * np.vecdot(a, a)
        return lengths

    def measured(self) -> Gradients:
        """The same, whose lengths are known."""
        return Gradients(self.a, self.x, self.square_lengths())

    def stretches(self) -> Iterator[tuple[slice, Gradients]]:
        """Where each stretch lies, and its gradients, of float32 features; good until the next is asked for."""
        is_wide = not isinstance(self.x, HalfRows) and self.x.dtype == np.float32
        buffer = np.empty((0 if is_wide else min(len(self), _CHUNK_ROWS), self.x.shape[1]), dtype=np.float32)
        for start in range(0, len(self), _CHUNK_ROWS):
            part = slice(start, min(len(self), start + _CHUNK_ROWS))
            x = self.x[part] if is_wide else widen(self.x[part], buffer)
            yield part, Gradients(self.a[part], x, None if self.known is None else self.known[part])


def square_gradient_distances(one: Gradients, other: Gradients) -> NDArray[np.float32]:
    """Squared distances of each gradient to each of the others: shape ``(n, m)``, ≥ 0, exactly 0 for equal ones."""
    inner = one.a[:] @ other.a[:].T
    inner *= one.x[:].astype(np.float32, copy=False) @ other.x[:].astype(np.float32, copy=False).T
    lengths = one.square_lengths()[:, None] + other.square_lengths()[None, :]
    distances: NDArray[np.float32] = lengths - 2.0 * inner
    distances[distances <= _ROUNDING * lengths] = 0.0
    return distances


def nearest_gradients(gradients: Gradients, others: Gradients) -> NDArray[np.float64]:
    """Squared distance of each to the nearest of the others: shape ``(n,)``."""
    nearest = np.empty(len(gradients))
    others = others.measured()
    for part, stretch in gradients.stretches():
        nearest[part] = square_gradient_distances(stretch, others).min(axis=1)
    return nearest


def spread_gradients(
    gradients: Gradients, weights: FloatArray, covered: Gradients, size: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Draw gradients that are long and far apart: k-means++ seeding (Arthur & Vassilvitskii 2007; Ash et al. 2020).

    Each draw takes a gradient with a chance in proportion to its weight times its squared distance to the nearest one
    drawn or covered; the first, where nothing is covered, in proportion to its squared length. By rejection: an old
    distance is a bound on today's, so a position is proposed by the old ones and accepted with the ratio of the two.
    Where all proposals of a turn are rejected, every distance is brought up to date, after which the next is accepted
    for certain: each two turns draw at least one.

    Args:
        gradients: What may be drawn, ``n`` of them.
        weights: Shape ``(n,)``, > 0.
        covered: What counts as drawn already.
        size: How many to draw.
        rng: Draws.

    Returns:
        Positions, at most ``size`` of them, fewer where all that is left equals something drawn; and the squared
        distance of each to the nearest drawn before it.
    """
    draw = _Draw(gradients, weights, covered)
    while len(draw.picks) < size and draw.turn(rng, size):
        pass
    return np.array(draw.picks, dtype=np.int64), np.array(draw.distances, dtype=np.float64)


class _Draw:
    """Bounds on the squared distances, and how many of the picks each knows of."""

    def __init__(self, gradients: Gradients, weights: FloatArray, covered: Gradients):
        self._gradients = gradients = gradients.measured()
        self._weights = weights.astype(np.float64)
        self._first = len(covered) == 0
        lengths = gradients.square_lengths().astype(np.float64)
        self._bound = lengths if self._first else nearest_gradients(gradients, covered)
        self._known = np.zeros(len(gradients), dtype=np.int64)
        self.picks: list[int] = []
        self.distances: list[float] = []

    def turn(self, rng: np.random.Generator, size: int) -> bool:
        """Propose some, take those that are accepted; False where nothing is left."""
        masses = np.cumsum(self._weights * self._bound)
        total = float(masses[-1]) if len(masses) else 0.0
        if total <= 0.0:
            return False
        proposed = np.searchsorted(masses, rng.random(_PROPOSALS) * total, side="right")
        proposed = np.minimum(proposed, len(masses) - 1)
        chances = rng.random(_PROPOSALS)
        if self._first:
            self._first = False
            first = int(proposed[0])
            self._take(first)
            # A length is no bound on a distance to the first. The sum of both lengths is: no feature is read for it.
            self._bound = np.square(np.sqrt(self._bound) + np.sqrt(self._bound[first]))
            return True
        before = self._bound[proposed]
        self._refresh(np.unique(proposed))
        taken = 0
        now = self._bound[proposed]
        asked = self._gradients[proposed]
        near = square_gradient_distances(asked, asked)
        for i in range(_PROPOSALS):
            if len(self.picks) == size:
                break
            if chances[i] * before[i] < now[i]:
                self._take(int(proposed[i]), float(now[i]))
                np.minimum(now, near[i], out=now)
                now[proposed == proposed[i]] = 0.0
                taken += 1
        if not taken:
            self._refresh(np.arange(len(self._bound)))
        return True

    def _take(self, position: int, distance: float | None = None) -> None:
        self.picks.append(position)
        self.distances.append(float(self._bound[position]) if distance is None else distance)

    def _refresh(self, rows: IntArray) -> None:
        """Bring the bounds of these rows up to date with all picks."""
        rows = rows[self._known[rows] < len(self.picks)]
        if len(rows) == 0:
            return
        since = int(self._known[rows].min())
        picks = self._gradients[np.array(self.picks[since:], dtype=np.int64)]
        if len(rows) == len(self._bound):
            np.minimum(self._bound, nearest_gradients(self._gradients, picks), out=self._bound)
        else:
            for start in range(0, len(rows), _CHUNK_ROWS):  # no copy of all
                part = rows[start : start + _CHUNK_ROWS]
                self._bound[part] = np.minimum(self._bound[part], nearest_gradients(self._gradients[part], picks))
        self._known[rows] = len(self.picks)
        self._bound[self.picks] = 0.0
