"""Scores for unbalanced classes: labels where a class has few, and items of classes that are rare in the pool."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import ArrayLike

from sampler.batch import best_first, tie_keys
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray, check_probabilities


def predicted_counts(probabilities: ArrayLike) -> FloatArray:
    """How many items of each class the model expects: the columns' sums, shape ``(n_classes,)``.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> predicted_counts([[0.75, 0.25], [0.75, 0.25]]).tolist()
    [1.5, 0.5]
    """
    p = check_probabilities(probabilities)
    step = 65_536  # short stretches: float32 loses count over a long one
    sums = [np.ones(len(p[s : s + step]), np.float32) @ p[s : s + step] for s in range(0, len(p), step)]
    return np.sum(sums, axis=0, dtype=np.float64) if sums else np.zeros(p.shape[1])


def class_weights(counts: ArrayLike) -> FloatArray:
    """Inverse frequencies: (1 + the smallest count) / (1 + count), so the rarest class weighs 1.

    Args:
        counts: Shape ``(n_classes,)``: labels or predictions of each class, not negative.

    Returns:
        Shape ``(n_classes,)``, in (0, 1].

    Raises:
        InvalidInput: Another shape, or a count that is negative, NaN or infinite.

    >>> class_weights([9, 0, 4]).tolist()
    [0.1, 1.0, 0.2]
    """
    array = np.asarray(counts, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all() or (array < 0.0).any():
        raise InvalidInput("counts", "hand in one finite number for each class, none of them negative")
    weights: FloatArray = (1.0 + array.min()) / (1.0 + array)
    return weights


def rarity_scores(probabilities: ArrayLike, counts: ArrayLike | None = None) -> FloatArray:
    """The expected weight of an item's class, Σ_c p_c w_c: high where the model sees a rare class.

    Guided search for a rare class (Attenberg & Provost 2010), for all classes at once and without naming one.

    Args:
        probabilities: Shape ``(n_items, n_classes)``.
        counts: Shape ``(n_classes,)``; what the model expects of the pool (``predicted_counts``) where None.

    Returns:
        Shape ``(n_items,)``, in (0, 1].

    Raises:
        InvalidInput: The rows are no distributions, or the counts do not go with them.

    >>> rarity_scores([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).tolist()
    [0.5, 0.5, 0.5, 1.0]
    """
    p = check_probabilities(probabilities)
    weights = class_weights(predicted_counts(p) if counts is None else counts)
    if weights.shape != (p.shape[1],):
        raise InvalidInput("counts", f"{len(weights)} counts do not go with {p.shape[1]} classes")
    if p.dtype == np.float16:
        p = p.astype(np.float32)
    return np.clip((p @ weights.astype(p.dtype)).astype(np.float64), 0.0, 1.0)


def balanced_scores(scores: FloatArray, predicted: IntArray, counts: ArrayLike) -> FloatArray:
    """A score times the weight of the class that an item is predicted to be.

    Args:
        scores: Shape ``(n,)``, for example margins.
        predicted: Shape ``(n,)``: class indices.
        counts: Shape ``(n_classes,)``: labels of each class.

    Returns:
        Shape ``(n,)``.

    Raises:
        InvalidInput: Shapes do not go together, or a class has no count.

    >>> balanced_scores(np.array([0.5, 0.4]), np.array([0, 1]), [9, 0]).tolist()
    [0.05, 0.4]
    """
    weights = class_weights(counts)
    if scores.shape != predicted.shape or scores.ndim != 1:
        raise InvalidInput("predicted", f"shape {predicted.shape} does not go with scores of shape {scores.shape}")
    if len(predicted) and (predicted.min() < 0 or predicted.max() >= len(weights)):
        raise InvalidInput("predicted", f"a class lies outside 0 … {len(weights) - 1}")
    weighted: FloatArray = scores * weights[predicted]
    return weighted


def balanced_order(
    scores: FloatArray, predicted: IntArray, counts: IntArray, rows: IntArray, size: int, seed: int
) -> tuple[IntArray, FloatArray]:
    """Picks in turn by ``balanced_scores``, each counted as a label of its predicted class before the next.

    So a class with few labels is asked for first, and none fills the batch (the idea of Aggarwal, Popescu & Hudelot
    2020, who draw from the classes that are short of labels). One list for each class and a heap: no score is made
    twice. The scores fall from pick to pick, since a pick lowers those of its own class only.

    Args:
        scores: Shape ``(n,)``, finite, not negative.
        predicted: Shape ``(n,)``: class indices.
        counts: Shape ``(n_classes,)``: labels of each class so far.
        rows: Shape ``(n,)``: what ties are hashed by.
        size: How many to pick.
        seed: Decides ties.

    Returns:
        Positions, shape ``(min(size, n),)``, and score times 1 / (1 + labels of its class) of each pick when its turn
        came.
    """
    counts = counts.copy()
    keys = tie_keys(rows, seed)
    due: list[tuple[float, float, int, int]] = []
    lists: list[list[int]] = []
    for c in range(len(counts)):
        members = np.flatnonzero(predicted == c)
        lists.append(members[best_first(scores[members], rows[members], size, seed)][::-1].tolist())

    def offer(c: int) -> None:
        if lists[c]:
            top = lists[c][-1]
            heapq.heappush(due, (-scores[top] / (1.0 + counts[c]), -scores[top], int(keys[top]), c))

    for c in range(len(counts)):
        offer(c)
    picks: list[int] = []
    values: list[float] = []
    while due and len(picks) < size:
        value, _, _, c = heapq.heappop(due)
        picks.append(lists[c].pop())
        values.append(-value + 0.0)
        counts[c] += 1
        offer(c)
    return np.array(picks, dtype=np.int64), np.array(values, dtype=np.float64)
