"""When to stop asking: pure functions, each of which gives a verdict in a sentence.

None of them stops anything by itself. They look at different things (whether the model still changes its mind, how
unsure it is, what one more label may bring, what is covered), and a person decides. docs/stopping.md shows when each
speaks on three data sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray, entropy_scores, least_confidence_scores

KAPPA = 0.99  # Bloodgood & Vijay-Shanker 2009, section 4
WINDOW = 3  # comparisons of successive models that must agree: the same
UNCERTAINTY = 0.10  # Zhu, Wang & Hovy 2008b set it by task; ours is a share of the largest entropy
EXPECTED_ERROR = 0.05  # the error that is good enough: a project's own choice
COVERAGE = 0.95


@dataclass(frozen=True)
class Verdict:
    """What a criterion says.

    Attributes:
        criterion: Its name.
        value: What was measured; None where there is too little to measure.
        threshold: What it is held against.
        stop: Whether it would stop here.
        sentence: The same for people.
    """

    criterion: str
    value: float | None
    threshold: float
    stop: bool
    sentence: str


def kappa(a: ArrayLike, b: ArrayLike) -> float:
    """Agreement of two predictions beyond chance (Cohen 1960), at most 1; 1 where both say one class throughout.

    Args:
        a: Shape ``(n,)``: class indices.
        b: Shape ``(n,)``: the same items' classes by another model.

    Raises:
        InvalidInput: Shapes differ, no items, or no whole numbers.

    >>> kappa([0, 0, 1, 1], [0, 0, 1, 0])
    0.5
    """
    first, second = _classes(a), _classes(b)
    if first.shape != second.shape or len(first) == 0:
        raise InvalidInput("predictions", f"shapes {first.shape} and {second.shape}: two models, the same items")
    classes, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    n, k = len(first), len(classes)
    observed = float((first == second).mean())
    shares = [np.bincount(part, minlength=k) / n for part in (codes[:n], codes[n:])]
    chance = float(shares[0] @ shares[1])
    return 1.0 if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def stabilizing_predictions(
    predictions: Sequence[ArrayLike], *, threshold: float = KAPPA, window: int = WINDOW
) -> Verdict:
    """Whether successive models still change their minds about a fixed set of items (Bloodgood & Vijay-Shanker 2009).

    Args:
        predictions: For each model, the oldest first, its classes of the same unlabelled items, shape ``(n,)``. The
            paper draws 2,000 items once, at random; they need no labels.
        threshold: Mean κ of the last comparisons from which it stops.
        window: How many comparisons.

    Raises:
        InvalidInput: Shapes differ, no items, or a window below 1.

    >>> same, other = [0, 0, 1, 1], [0, 0, 1, 0]
    >>> verdict = stabilizing_predictions([other, same, same], window=2)
    >>> verdict.value, verdict.stop
    (0.75, False)
    >>> stabilizing_predictions([other, same, same], window=1).stop
    True
    """
    if window < 1:
        raise InvalidInput("window", "must be 1 or more")
    if len(predictions) <= window:
        missing = window + 1 - len(predictions)
        return Verdict(
            "stabilizing_predictions", None, threshold, False, f"{missing} more rounds are needed to see it settle"
        )
    recent = predictions[-window - 1 :]
    value = float(np.mean([kappa(a, b) for a, b in itertools.pairwise(recent)]))
    stop = value >= threshold
    said = "no longer changes its mind" if stop else "still changes its mind"
    sentence = f"the model {said}: κ {value:.3f} over the last {window} rounds, {threshold:g} is asked for"
    return Verdict("stabilizing_predictions", value, threshold, stop, sentence)


def overall_uncertainty(probabilities: ArrayLike, *, threshold: float = UNCERTAINTY) -> Verdict:
    """Whether the model is sure of what is left, on average (Zhu, Wang & Hovy 2008b).

    Args:
        probabilities: Shape ``(n, n_classes)``: the model's, of the unlabelled items.
        threshold: Mean entropy, as a share of the largest possible, up to which it stops.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> overall_uncertainty([[0.5, 0.5], [1.0, 0.0]]).value
    0.5
    """
    scores = entropy_scores(probabilities)
    if len(scores) == 0:
        return _nothing_left("overall_uncertainty", threshold)
    value = float(scores.mean())
    stop = value <= threshold
    sentence = f"mean uncertainty of what is left: {value:.1%} of the most there can be, {threshold:.1%} is low enough"
    return Verdict("overall_uncertainty", value, threshold, stop, sentence)


def minimum_expected_error(probabilities: ArrayLike, *, threshold: float = EXPECTED_ERROR) -> Verdict:
    """Whether the share of what is left that the model expects to get wrong is small (Zhu, Wang & Hovy 2008a).

    It is as honest as the model is calibrated: one that is too sure of itself stops too early.

    Args:
        probabilities: Shape ``(n, n_classes)``: the model's, of the unlabelled items.
        threshold: The expected error up to which it stops.

    Raises:
        InvalidInput: The rows are no distributions.

    >>> minimum_expected_error([[0.75, 0.25], [1.0, 0.0]]).value
    0.125
    """
    scores = least_confidence_scores(probabilities)
    if len(scores) == 0:
        return _nothing_left("minimum_expected_error", threshold)
    value = float(scores.mean())
    stop = value <= threshold
    sentence = f"the model expects to get {value:.1%} of what is left wrong, {threshold:.1%} is good enough"
    return Verdict("minimum_expected_error", value, threshold, stop, sentence)


def expected_gain(
    probabilities: ArrayLike, weights: ArrayLike, refitted: ArrayLike, *, threshold: float | None = None
) -> Verdict:
    """The most that one more label is expected to take off the expected error (Roy & McCallum 2001).

    For some items, the model is refitted with each of their likelier answers, and its expected errors are weighted by
    how likely it holds these answers to be. What the weights leave out counts as no change. The largest gain is
    reported: hand in the items that promise most, and it bounds what the others bring.

    Args:
        probabilities: Shape ``(n, n_classes)``: the model's, of the items that the error is taken over.
        weights: Shape ``(m, answers)``: the probability of each answer of the m items tried; rows add up to 1 at most.
        refitted: Shape ``(m, answers, n, n_classes)``: what the refitted models think of the same n items.
        threshold: The gain up to which it stops; ``1 / n``, where a label corrects no item beyond its own, when None.

    Raises:
        InvalidInput: Shapes do not go together, or rows are no distributions.

    >>> now = [[0.5, 0.5], [0.75, 0.25]]
    >>> after = [[[[1.0, 0.0], [0.75, 0.25]], [[0.0, 1.0], [0.75, 0.25]]]]
    >>> verdict = expected_gain(now, [[0.5, 0.5]], after)
    >>> verdict.value, verdict.threshold, verdict.stop
    (0.25, 0.5, True)
    """
    before = least_confidence_scores(probabilities)
    share = np.asarray(weights, dtype=np.float64)
    after = np.asarray(refitted)
    n = len(before)
    if n == 0 or share.ndim != 2 or share.size == 0:
        return _nothing_left("expected_gain", 0.0 if threshold is None else threshold)
    if after.shape[:3] != (*share.shape, n) or after.ndim != 4:
        raise InvalidInput("refitted", f"shape {after.shape} is not {(*share.shape, n)} and classes")
    if not ((share >= 0.0).all() and (share.sum(axis=1) <= 1.0 + 1e-6).all()):
        raise InvalidInput("weights", "each row holds probabilities that add up to 1 at most")
    errors = least_confidence_scores(after.reshape(-1, after.shape[3])).reshape(after.shape[:3]).mean(axis=2)
    gains: FloatArray = (share * (before.mean() - errors)).sum(axis=1)
    value, limit = float(gains.max()), 1.0 / n if threshold is None else threshold
    stop = value <= limit
    sentence = (
        f"of {len(share)} items tried, the best is expected to lower the error by {100 * value:.3f} points, "
        f"{100 * limit:.3f} would be worth it"
    )
    return Verdict("expected_gain", value, limit, stop, sentence)


def cluster_coverage(clusters: ArrayLike, labeled: ArrayLike, *, threshold: float = COVERAGE) -> Verdict:
    """The share of clusters that hold a label: what a pool's groups still hide.

    The clusters are those that TypiClust covers one by one (Hacohen, Dekel & Weinshall 2022); any others will do.

    Args:
        clusters: Shape ``(n,)``: the cluster of each item of the pool.
        labeled: Shape ``(l,)``: positions of the labelled ones.
        threshold: The share from which it stops.

    Raises:
        InvalidInput: No items, or a position outside.

    >>> cluster_coverage([0, 0, 1, 2], [1, 2]).value
    0.6666666666666666
    """
    groups, rows = _classes(clusters), _classes(labeled)
    if len(groups) == 0:
        raise InvalidInput("clusters", "no items")
    if len(rows) and (rows.min() < 0 or rows.max() >= len(groups)):
        raise InvalidInput("labeled", f"a position lies outside 0 … {len(groups) - 1}")
    n_clusters, n_covered = len(np.unique(groups)), len(np.unique(groups[rows]))
    value = n_covered / n_clusters
    stop = value >= threshold
    sentence = f"{n_covered} of {n_clusters} groups of the pool hold a label, {threshold:.0%} is asked for"
    return Verdict("cluster_coverage", value, threshold, stop, sentence)


def _nothing_left(criterion: str, threshold: float) -> Verdict:
    return Verdict(criterion, None, threshold, True, "nothing is left to label")


def _classes(values: ArrayLike) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidInput("predictions", f"shape {array.shape}, dtype {array.dtype}: hand in whole numbers in a row")
    return array.astype(np.int64)
