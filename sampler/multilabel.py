"""Scores where each item may bear several labels: independent probabilities that need not add up to one.

Higher means: label sooner. Shape ``(n_items,)``, float64, finite. For one label, one minus the margin and twice the
least confidence are the same number, 1 − |2p − 1|; the entropy orders items alike and differs once labels are averaged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.errors import InvalidInput
from sampler.scores import FloatArray

_CHUNK_VALUES = 1_000_000


def check_label_probabilities(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Return ``probabilities`` as an array, or say what is wrong with it.

    Args:
        probabilities: Shape ``(n_items, n_labels)``, each in [0, 1].

    Raises:
        InvalidInput: Wrong shape, NaN, or a value outside [0, 1].
    """
    array = np.asarray(probabilities)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidInput("probabilities", f"shape {array.shape} is not (n_items, n_labels)")
    bad = ~((array >= 0.0) & (array <= 1.0)).all(axis=1)  # NaN compares as False: it is bad too
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidInput("probabilities", f"row {row} holds NaN or a value outside 0 … 1; apply a sigmoid first")
    return array.astype(np.float64)


def label_entropy_scores(probabilities: ArrayLike, how: str = "mean") -> FloatArray:
    """Binary entropy of each label in bits, as the mean or the largest over the labels (Esuli & Sebastiani 2009).

    Args:
        probabilities: Shape ``(n_items, n_labels)``.
        how: ``mean`` or ``max``.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: Not probabilities, or another ``how``.

    >>> label_entropy_scores([[0.5, 1.0], [0.0, 1.0]]).tolist()
    [0.5, 0.0]
    """
    p = check_label_probabilities(probabilities)
    doubts = np.zeros_like(p)
    for share in (p, 1.0 - p):
        doubts -= share * np.log2(np.where(share > 0.0, share, 1.0))
    return _over_labels(doubts, how)


def label_least_confidence_scores(probabilities: ArrayLike, how: str = "mean") -> FloatArray:
    """Probability of each label's less likely value, min(p, 1 − p), as the mean or the largest over the labels.

    The minimum confidence of Esuli & Sebastiani (2009) where ``how`` is ``max``, the average one where it is ``mean``.

    Args:
        probabilities: Shape ``(n_items, n_labels)``.
        how: ``mean`` or ``max``.

    Returns:
        Shape ``(n_items,)``, in [0, 0.5].

    Raises:
        InvalidInput: Not probabilities, or another ``how``.

    >>> label_least_confidence_scores([[0.25, 1.0], [0.5, 1.0]], how="max").tolist()
    [0.25, 0.5]
    """
    p = check_label_probabilities(probabilities)
    return _over_labels(np.minimum(p, 1.0 - p), how)


def label_margin_scores(probabilities: ArrayLike, how: str = "mean") -> FloatArray:
    """One minus the gap between a label's two values, 1 − |2p − 1|, as the mean or the largest over the labels.

    With ``max`` this is binary minimum (Brinker 2006): the item nearest to any label's boundary.

    Args:
        probabilities: Shape ``(n_items, n_labels)``.
        how: ``mean`` or ``max``.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: Not probabilities, or another ``how``.

    >>> label_margin_scores([[0.25, 1.0], [0.5, 1.0]]).tolist()
    [0.25, 0.5]
    """
    p = check_label_probabilities(probabilities)
    return _over_labels(1.0 - np.abs(2.0 * p - 1.0), how)


def _over_labels(values: NDArray[np.float64], how: str) -> FloatArray:
    if how not in ("mean", "max"):
        raise InvalidInput("how", f"'{how}' is neither mean nor max")
    return np.asarray(values.mean(axis=1) if how == "mean" else values.max(axis=1)) + 0.0


def max_loss_reduction_scores(probabilities: ArrayLike, n_positive: ArrayLike | None = None) -> FloatArray:
    """Maximum loss reduction with maximal confidence, MMC (Yang et al. 2009), from probabilities.

    The labels of an item are taken to be its likeliest ``n_positive``; the score is the mean over the labels of
    ½ (1 − y f), where f = 2p − 1 and y = ±1. Where the number agrees with the labels above one half this is the least
    confidence; where it does not, the labels in between count as more than one half.

    Args:
        probabilities: Shape ``(n_items, n_labels)``.
        n_positive: Shape ``(n_items,)``: how many labels each item is predicted to bear; the paper fits a model for
            it. Where None, the expected number, rounded.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: Not probabilities, or numbers that do not go with them.

    >>> max_loss_reduction_scores([[0.75, 0.25], [0.75, 0.25]], n_positive=[1, 2]).tolist()
    [0.25, 0.5]
    """
    p = check_label_probabilities(probabilities)
    n, n_labels = p.shape
    wanted = np.rint(p.sum(axis=1)) if n_positive is None else np.asarray(n_positive)
    if wanted.shape != (n,) or not ((wanted >= 0) & (wanted <= n_labels)).all():
        raise InvalidInput("n_positive", f"hand in {n} numbers from 0 to {n_labels}")
    ranks = np.argsort(np.argsort(-p, axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray(np.where(ranks < wanted[:, None], 1.0 - p, p).mean(axis=1)) + 0.0


def cardinality_inconsistency_scores(probabilities: ArrayLike, labels: ArrayLike) -> FloatArray:
    """How far an item's number of predicted labels lies from the mean number of labels (LCI: Li & Guo 2013).

    Args:
        probabilities: Shape ``(n_items, n_labels)``; above one half a label is predicted.
        labels: Shape ``(l, n_labels)``: the labels given so far, 0 or 1, of at least one item.

    Returns:
        Shape ``(n_items,)``, from 0 to the number of labels.

    Raises:
        InvalidInput: Not probabilities, or labels that do not go with them.

    >>> cardinality_inconsistency_scores([[0.9, 0.8], [0.9, 0.1]], [[1, 0], [0, 1]]).tolist()
    [1.0, 0.0]
    """
    p = check_label_probabilities(probabilities)
    known = _check_labels(labels, p.shape[1])
    return np.asarray(np.abs((p > 0.5).sum(axis=1) - known.sum(axis=1).mean()))


def category_vector_inconsistency_scores(probabilities: ArrayLike, labels: ArrayLike) -> FloatArray:
    """Mean distance of an item's predicted label vector from those given so far (CVI: Reyes, Morell & Ventura 2018).

    The distance of two vectors is 1 where they differ in every label, and else the normalised entropy distance of the
    two as variables over the labels, (2 H(a, b) − H(a) − H(b)) / H(a, b).

    Args:
        probabilities: Shape ``(n_items, n_labels)``; above one half a label is predicted.
        labels: Shape ``(l, n_labels)``: the labels given so far, 0 or 1, of at least one item.

    Returns:
        Shape ``(n_items,)``, in [0, 1].

    Raises:
        InvalidInput: Not probabilities, or labels that do not go with them.

    >>> category_vector_inconsistency_scores([[0.9, 0.9, 0.1, 0.1]], [[1, 1, 0, 0], [1, 0, 1, 0]]).tolist()
    [0.5]
    """
    predicted = (check_label_probabilities(probabilities) > 0.5).astype(np.float64)
    known = _check_labels(labels, predicted.shape[1])
    scores = np.empty(len(predicted))
    step = max(1, _CHUNK_VALUES // len(known))
    for start in range(0, len(predicted), step):
        scores[start : start + step] = _vector_distances(predicted[start : start + step], known).mean(axis=1)
    return scores


def _check_labels(labels: ArrayLike, n_labels: int) -> NDArray[np.float64]:
    array = np.asarray(labels, dtype=np.float64)
    if array.ndim != 2 or len(array) == 0 or array.shape[1] != n_labels or not np.isin(array, (0.0, 1.0)).all():
        raise InvalidInput("labels", f"shape {array.shape}: hand in rows of {n_labels} zeros and ones, at least one")
    return array


def _vector_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between rows of zeros and ones: ``(n, q)`` and ``(m, q)`` in, ``(n, m)`` out."""
    q = a.shape[1]
    both = a @ b.T
    ones_a, ones_b = a.sum(axis=1)[:, None], b.sum(axis=1)[None, :]
    cells = (both, ones_a - both, ones_b - both, q - ones_a - ones_b + both)
    joint = -sum(_x_log_x(cell / q) for cell in cells)
    alone = -sum(_x_log_x(x / q) for x in (ones_a, q - ones_a, ones_b, q - ones_b))
    distances = np.divide(2.0 * joint - alone, joint, out=np.zeros_like(joint), where=joint > 0.0)
    opposite = cells[1] + cells[2] == q
    return np.asarray(np.where(opposite, 1.0, np.clip(distances, 0.0, 1.0)))


def _x_log_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x * np.log(np.where(x > 0.0, x, 1.0))
