"""Expected error reduction (Roy & McCallum 2001) without refitting: each label is one Newton step of a softmax head.

What is approximated. The blocks of the head's Hessian that couple two classes are left out; each class has its
own: A_c = Σ_l w_c(l) x_l x_lᵀ + ridge · I with w_c = p_c (1 − p_c) · classes / (classes − 1), which makes the step
exact for two classes and for classes that are all alike. A label y on x, whose own curvature joins A_c by Sherman and
Morrison, then changes the logit c of an item z by (e_y − p(x))_c · zᵀA_c⁻¹x / (1 + w_c(x) xᵀA_c⁻¹x). So two matrix
products a class serve all candidates, and one exponential for each (candidate, item, class) serves all labels y, since
they differ in one logit. What one step misses against a refit is what later steps would do: most where labels are few
and contradict the head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.errors import InvalidInput
from sampler.scores import FloatArray, check_probabilities

_LEAST = 1e-8  # probabilities below count as this: a logarithm is taken
_LARGEST_SHIFT = 30.0  # of a logit, by one label; more makes no difference to any probability worth the name


def expected_error_scores(
    candidates: NDArray[np.floating],
    probabilities: ArrayLike,
    pool: NDArray[np.floating],
    pool_probabilities: ArrayLike,
    labeled: NDArray[np.floating],
    labeled_probabilities: ArrayLike,
    *,
    ridge: float = 0.1,
    loss: str = "log",
) -> FloatArray:
    """By how much a label on each candidate is expected to lower the error that the model expects on the pool.

    The error on an item is the model's own: its entropy (``log``), or one minus its largest probability (``zero_one``),
    both of Roy & McCallum (2001). The cost is candidates · pool · classes, so hand in samples of both.

    Args:
        candidates: Shape ``(m, d)``: features, scaled as the head's.
        probabilities: Shape ``(m, n_classes)``.
        pool: Shape ``(b, d)``: the items on which the error is measured.
        pool_probabilities: Shape ``(b, n_classes)``.
        labeled: Shape ``(l, d)``: what the head was fitted on; may be empty.
        labeled_probabilities: Shape ``(l, n_classes)``.
        ridge: The head's penalty is ½ ridge ‖W‖²: 1 / C in scikit-learn.
        loss: ``log`` or ``zero_one``.

    Returns:
        Shape ``(m,)``: the mean error now less the one expected, in nats for ``log``; below 0 where it would grow.

    Raises:
        InvalidInput: Shapes do not go together, a feature is NaN or infinite, rows are no distributions, or there is no
            such loss.
    """
    p, q, r = (check_probabilities(a) for a in (probabilities, pool_probabilities, labeled_probabilities))
    features = tuple(
        _with_one(a, name) for a, name in ((candidates, "candidates"), (pool, "pool"), (labeled, "labeled"))
    )
    for points, rows, name in zip(features, (p, q, r), ("candidates", "pool", "labeled"), strict=True):
        if len(points) != len(rows) or points.shape[1] != features[0].shape[1] or rows.shape[1] != p.shape[1]:
            raise InvalidInput(name, f"features {points.shape} and probabilities {rows.shape} do not go together")
    if loss not in ("log", "zero_one") or not 0.0 < ridge < np.inf:
        raise InvalidInput("loss", f"'{loss}' with ridge {ridge}: choose log or zero_one, and a ridge above 0")
    if p.shape[1] == 1 or len(q) == 0 or len(p) == 0:
        return np.zeros(len(p))
    shifts = _shifts(features[0], _curvatures(p), features[1], features[2], _curvatures(r), ridge)
    logits = np.log(np.maximum(q.astype(np.float64), _LEAST))
    now = float(_error_now(logits, loss).mean())
    expected_after = _log_errors if loss == "log" else _zero_one_errors
    p = p.astype(np.float64)
    return np.array([now - expected_after(logits, p[a], shifts[a]) for a in range(len(p))])


def _with_one(points: NDArray[np.floating], name: str) -> NDArray[np.float64]:
    """The features and a 1 for the intercept."""
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or not np.isfinite(array).all():
        raise InvalidInput(name, f"shape {array.shape} is not (n, d), or a value is NaN or infinite")
    return np.concatenate([array, np.ones((len(array), 1))], axis=1)


def _curvatures(p: FloatArray) -> FloatArray:
    """Each class's diagonal entry of diag(p) − p pᵀ, scaled so that two classes come out exactly: shape of ``p``."""
    n_classes = p.shape[1]
    curvatures: FloatArray = p.astype(np.float64) * (1.0 - p) * (n_classes / max(1, n_classes - 1))
    return np.maximum(curvatures, 0.0)


def _shifts(
    candidates: NDArray[np.float64],
    curvatures: FloatArray,
    pool: NDArray[np.float64],
    labeled: NDArray[np.float64],
    weights: FloatArray,
    ridge: float,
) -> NDArray[np.float32]:
    """zᵀA_c⁻¹x / (1 + w_c xᵀA_c⁻¹x) for each candidate x, item z of the pool, class c: shape ``(m, b, classes)``."""
    shifts = np.empty((len(candidates), len(pool), curvatures.shape[1]), dtype=np.float32)
    for c in range(curvatures.shape[1]):
        solved = _solved(np.sqrt(weights[:, c])[:, None] * labeled, candidates.T, ridge)
        own = np.einsum("id,di->i", candidates, solved)
        shifts[:, :, c] = ((pool @ solved) / (1.0 + curvatures[:, c] * own)).T
    return np.clip(shifts, -_LARGEST_SHIFT, _LARGEST_SHIFT, out=shifts)


def _solved(root: NDArray[np.float64], right: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """(rootᵀ root + ridge · I)⁻¹ right, by the smaller of the two systems (Woodbury)."""
    from scipy.linalg import cho_factor, cho_solve

    n, d = root.shape
    if n == 0:
        return right / ridge
    if n < d:
        inner = cho_factor(root @ root.T + ridge * np.eye(n))
        return np.asarray((right - root.T @ cho_solve(inner, root @ right)) / ridge)
    return np.asarray(cho_solve(cho_factor(root.T @ root + ridge * np.eye(d)), right))


def _error_now(logits: NDArray[np.float64], loss: str) -> NDArray[np.float64]:
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    return np.asarray(-(p * np.log(p)).sum(axis=1) if loss == "log" else 1.0 - p.max(axis=1))


def _stepped(
    logits: NDArray[np.float64], p: FloatArray, shift: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Logits less shift · p, their exponentials, each label's own raised by the shift, and the sums with it."""
    g = logits - shift * p
    g -= g.max(axis=1, keepdims=True)
    e = np.exp(g)
    raised = e * np.exp(shift, dtype=np.float64)
    totals = np.maximum(e.sum(axis=1, keepdims=True) - e, 0.0) + raised
    return g, e, raised, np.maximum(totals, 1e-300)


def _log_errors(logits: NDArray[np.float64], p: FloatArray, shift: NDArray[np.float32]) -> float:
    """Expected mean entropy of the pool after a label on one candidate."""
    g, e, raised, totals = _stepped(logits, p, shift)
    eg = e * g
    sums = eg.sum(axis=1, keepdims=True) - eg + raised * (g + shift)
    entropies = np.log(totals) - sums / totals
    return float(np.maximum(entropies, 0.0).mean(axis=0) @ p)


def _zero_one_errors(logits: NDArray[np.float64], p: FloatArray, shift: NDArray[np.float32]) -> float:
    """Expected mean of one minus the largest probability, after a label on one candidate."""
    _, e, raised, totals = _stepped(logits, p, shift)
    order = np.partition(e, -2, axis=1)
    others = np.where(e == order[:, -1:], order[:, -2:-1], order[:, -1:])  # the largest of the labels but one's own
    return float((1.0 - np.maximum(others, raised) / totals).mean(axis=0) @ p)
