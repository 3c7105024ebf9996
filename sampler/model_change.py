"""How much a label would move a softmax head, in closed form. Shape ``(n_items,)``, float64, finite, higher = sooner.

A gradient step for label y on an item x changes the head's weights by (e_y − p) xᵀ, up to the step's length: p are its
probabilities, e_y is one-hot, and x ends with a 1 for the intercept. Both scores are expectations over y of that step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.chunks import Scaling, feature_chunks, refuse_features
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray, check_probabilities

_RANK = 64
_CHUNK_ROWS = 4_096


def residual_scores(probabilities: ArrayLike) -> FloatArray:
    """Expected length of the residual, Σ_y p_y ‖p − e_y‖: the part of a gradient's length that the label decides.

    Args:
        probabilities: Shape ``(n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, from 0 (certain) to √(1 − 1 / n_classes) (all classes alike).

    Raises:
        InvalidInput: The rows are no distributions.

    >>> residual_scores([[0.5, 0.5], [1.0, 0.0]]).round(6).tolist()
    [0.707107, 0.0]
    """
    p = check_probabilities(probabilities)
    scores = np.empty(len(p))
    for start in range(0, len(p), _CHUNK_ROWS):
        chunk = p[start : start + _CHUNK_ROWS].astype(np.promote_types(p.dtype, np.float32), copy=False)
        lengths = np.einsum("ij,ij->i", chunk, chunk)[:, None] + 1.0 - 2.0 * chunk
        np.sqrt(np.maximum(lengths, 0.0, out=lengths), out=lengths)
        scores[start : start + _CHUNK_ROWS] = np.einsum("ij,ij->i", chunk, lengths)
    return scores


def gradient_length_scores(probabilities: ArrayLike, norms: FloatArray) -> FloatArray:
    """Expected gradient length (Settles, Craven & Ray 2007; Settles & Craven 2008) of a softmax head's log-loss.

    The gradient for label y is the outer product of p − e_y and x, so its length is ‖p − e_y‖ ‖x‖, and no gradient is
    ever made: Σ_y p_y ‖p − e_y‖ ‖x‖.

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        norms: Shape ``(n_items,)``: lengths of the items' features; see ``feature_norms``.

    Returns:
        Shape ``(n_items,)``, not negative.

    Raises:
        InvalidInput: The rows are no distributions, or the lengths do not go with them.

    >>> gradient_length_scores([[0.5, 0.5], [0.5, 0.5]], np.array([2.0, 0.0])).round(6).tolist()
    [1.414214, 0.0]
    """
    return _times(residual_scores(probabilities), norms, "norms")


def output_change_scores(probabilities: ArrayLike, reaches: FloatArray) -> FloatArray:
    """Expected change of the model's outputs (Freytag, Rodner & Denzler 2014), to first order.

    A step on x changes the logits of another item z by (e_y − p) (x·z). Its length, as a root mean square over the pool
    and expected over y, is Σ_y p_y ‖p − e_y‖ √(mean_z (x·z)²). It differs from the gradient's length in that the change
    counts where the pool lies: an outlier is long, but moves no other item.

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        reaches: Shape ``(n_items,)``: √(mean_z (x·z)²); see ``Reach``.

    Returns:
        Shape ``(n_items,)``, not negative.

    Raises:
        InvalidInput: The rows are no distributions, or the reaches do not go with them.
    """
    return _times(residual_scores(probabilities), reaches, "reaches")


def _times(residuals: FloatArray, factors: FloatArray, name: str) -> FloatArray:
    factors = np.asarray(factors, dtype=np.float64)
    if factors.shape != residuals.shape:
        raise InvalidInput(name, f"shape {factors.shape} does not go with {len(residuals)} rows of probabilities")
    if not np.isfinite(factors).all() or (factors < 0.0).any():
        raise InvalidInput(name, "a length is NaN, infinite or negative")
    return residuals * factors


def feature_norms(
    features: NDArray[np.floating[Any]], rows: IntArray, scaling: Scaling | None = None, *, intercept: bool = True
) -> FloatArray:
    """Lengths of the features of ``rows``, read in stretches; with ``intercept``, of the features and a 1.

    Raises:
        InvalidInput: A feature is NaN or infinite.

    >>> feature_norms(np.float32([[3.0, 4.0], [0.0, 0.0]]), np.array([0, 1]), intercept=False).tolist()
    [5.0, 0.0]
    """
    squares = np.empty(len(rows))
    for stretch, chunk in feature_chunks(features, rows):
        with np.errstate(over="ignore", invalid="ignore"):
            points = scaled(chunk, scaling)
            squares[stretch] = np.vecdot(points, points)
        if not np.isfinite(squares[stretch]).all():
            refuse_features(chunk, rows[stretch])
    return np.sqrt(squares + float(intercept))


def scaled(chunk: NDArray[np.float32], scaling: Scaling | None) -> NDArray[np.float32]:
    """The chunk with the scaling applied, and the chunk itself where there is none."""
    if scaling is None:
        return chunk
    return np.asarray((chunk - scaling[0].astype(np.float32)) / scaling[1].astype(np.float32))


@dataclass(frozen=True)
class Reach:
    """How far a step on an item is felt: √(mean_z (x·z)²) over the pool, with a 1 for the intercept after x and z.

    That is √(xᵀ S x) for the pool's second moment S. It is kept by its leading directions and the mean of what is left,
    which costs n · d · 64 products instead of n · d², and is exact for fewer than 64 columns.

    Attributes:
        directions: Shape ``(r, d + 1)``: leading eigenvectors of S.
        excess: Shape ``(r,)``: how far their eigenvalues lie above the mean of the others.
        rest: The mean of the other eigenvalues, 0 where there are none.
    """

    directions: NDArray[np.float32]
    excess: NDArray[np.float64]
    rest: float

    @classmethod
    def of(cls, points: NDArray[np.float32], rank: int = _RANK) -> Reach:
        """Measured on a sample of the pool: shape ``(n, d)``, scaled as the head's features are."""
        if points.ndim != 2 or len(points) == 0:
            raise InvalidInput("points", f"shape {points.shape} is no sample of the pool")
        z = np.concatenate([points, np.ones((len(points), 1), np.float32)], axis=1)
        values, vectors = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
        leading, others = values[::-1][:rank], values[::-1][rank:]
        rest = max(float(others.mean()), 0.0) if len(others) else 0.0
        return cls(vectors[:, ::-1][:, :rank].T.astype(np.float32), leading - rest, rest)

    def scores(self, features: NDArray[np.floating[Any]], rows: IntArray, scaling: Scaling | None = None) -> FloatArray:
        """The reach of each of ``rows``, read in stretches: shape ``(len(rows),)``.

        Raises:
            InvalidInput: A feature is NaN or infinite, or there are more or fewer columns than in the sample.
        """
        if features.ndim != 2 or features.shape[1] + 1 != self.directions.shape[1]:
            raise InvalidInput("features", f"shape {features.shape} does not go with the sample of the pool")
        squares = np.empty(len(rows))
        # What lies above the mean of the others is not negative: its root goes into the directions.
        weights = np.sqrt(np.maximum(self.excess, 0.0)).astype(np.float32)[:, None] * self.directions
        columns = np.ascontiguousarray(weights[:, :-1].T)
        for stretch, chunk in feature_chunks(features, rows):
            with np.errstate(over="ignore", invalid="ignore"):
                points = scaled(chunk, scaling)
                along = points @ columns
                along += weights[:, -1]
                found = np.vecdot(along, along)
                if self.rest:
                    found += self.rest * (np.vecdot(points, points) + 1.0)
            if not np.isfinite(found).all():
                refuse_features(chunk, rows[stretch])
            squares[stretch] = found
        return np.sqrt(np.maximum(squares, 0.0))
