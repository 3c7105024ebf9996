"""BADGE: diverse gradient embeddings (Ash et al. 2020)."""

from __future__ import annotations

import numpy as np

from sampler import reasons
from sampler.gradients import Gradients, Residuals, residuals, spread_gradients
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import strategy
from sampler.strategies.spread import completed, head_of
from sampler.subsample import priority_sample

SAMPLE_ROWS = 32_768
"""What is drawn from where there are more candidates; the weights of these stand for the others."""
_CHUNK_ROWS = 16_384


@strategy("badge")
def rank_badge(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """BADGE; without a model, whose gradients would all point along the features, k-means++ on the features."""
    positions, weights = _sample(ctx, seed)
    p, points = ctx.probabilities, ctx.compact_points(ctx.candidates[positions])
    gradients = Gradients(_residuals(p, len(positions)) if p is None else Residuals(p, positions), points)
    picks, distances = spread_gradients(gradients, weights, _pending(ctx, seed), size, np.random.default_rng(seed))
    return completed(ctx, [positions[picks]], [np.sqrt(distances)], [reasons.OTHER_LESSON] * len(picks), size, seed)


def _sample(ctx: QueryContext, seed: int) -> tuple[IntArray, FloatArray]:
    """Positions of the candidates to draw from, ascending as they are stored, and how many each stands for."""
    n = len(ctx.candidates)
    if n <= SAMPLE_ROWS:
        return np.arange(n), ctx.sizes
    lengths = _residual_lengths(ctx.probabilities, n) * ctx.sizes
    positions, weights = priority_sample(lengths, ctx.candidates, SAMPLE_ROWS, seed)
    order = np.argsort(positions)
    return positions[order], weights[order] * ctx.sizes[positions[order]]


def _residual_lengths(probabilities: FloatArray | None, n: int) -> FloatArray:
    """Their squares, shape ``(n,)``; in stretches, since the residuals of a large pool are as large as its answers."""
    lengths = np.empty(n, dtype=np.float32)
    for start in range(0, n, _CHUNK_ROWS):
        stretch = slice(start, min(n, start + _CHUNK_ROWS))
        known = None if probabilities is None else probabilities[stretch]
        a = _residuals(known, stretch.stop - start)
        lengths[stretch] = np.vecdot(a, a)
    return lengths


def _residuals(probabilities: FloatArray | None, n: int) -> FloatArray:
    return np.ones((n, 1), dtype=np.float32) if probabilities is None else residuals(probabilities)


def _pending(ctx: QueryContext, seed: int) -> Gradients:
    """Gradients of what is in somebody's hands: they will be labelled, so they count as drawn."""
    points = ctx.points(ctx.pending)
    if ctx.probabilities is None or len(points) == 0:
        return Gradients(_residuals(None, len(points)), points)
    return Gradients(residuals(head_of(ctx, seed).probabilities(points)), points)
