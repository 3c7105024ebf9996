"""Expected error reduction (Roy & McCallum 2001), on samples and with one step instead of a refit."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.batch import best_first
from sampler.expected_error import expected_error_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import FloatArray, IntArray, margin_scores
from sampler.strategies.registry import probabilities_of, strategy
from sampler.strategies.spread import sample

_CANDIDATES = 256  # half of them the smallest margins, half of them drawn
_POOL_ROWS = 512
_REGULARISATION = 10.0
_ITERATIONS = 60


@strategy("expected_error", "probabilities")
def _expected_error(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """The label that is expected to leave the fewest errors on a sample of the pool; the reserve goes on by margin."""
    p = probabilities_of(ctx)
    margins = margin_scores(p, check=False)
    doubtful = best_first(margins, ctx.candidates, _CANDIDATES // 2, seed)
    drawn = sample(ctx, seed, _CANDIDATES // 2)
    kept = np.union1d(doubtful, drawn)
    pool = np.sort(sample(ctx, seed + 1, _POOL_ROWS))
    labeled = ctx.points(ctx.labeled)
    scores = expected_error_scores(
        ctx.points(ctx.candidates[kept]),
        p[kept],
        ctx.points(ctx.candidates[pool]),
        p[pool],
        labeled,
        _labeled_probabilities(labeled, ctx.y, ctx.n_classes),
        ridge=1.0 / _REGULARISATION,
        loss="zero_one",  # in rank nearer to a refit than the log-loss
    )
    order = best_first(np.round(scores, 9), ctx.candidates[kept], size, seed)
    picks, values = kept[order], scores[order]
    if len(picks) < size:
        rest = np.setdiff1d(np.arange(len(p)), kept)
        more = rest[best_first(margins[rest], ctx.candidates[rest], size - len(picks), seed)]
        floor = min(0.0, float(scores.min(initial=0.0)))
        picks, values = np.concatenate([picks, more]), np.concatenate([values, floor - 1.0 + margins[more]])
    why = reasons.error_reasons(scores[order]) + reasons.margin_reasons(p[picks[len(order) :]], ctx.class_names)
    return Ranking(ctx.candidates[picks], values, why)


def _labeled_probabilities(points: NDArray[np.float32], y: IntArray, n_classes: int) -> FloatArray:
    """What a head fitted here thinks of its own labels: only the curvature of the step hangs on it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    classes = np.unique(y)
    p = np.zeros((len(y), n_classes))
    if len(classes) < 2:
        p[:, classes] = 1.0
        return p
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        head = LogisticRegression(C=_REGULARISATION, max_iter=_ITERATIONS, tol=1e-3).fit(points, y)
    p[:, classes] = head.predict_proba(points)
    return p
