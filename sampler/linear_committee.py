"""A committee of softmax heads: fitted from one another, and asked in one matrix product."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.chunks import Scaling, feature_chunks, refuse_features
from sampler.committee import N_MEMBERS, bootstrap
from sampler.committee_scores import Block, bald, consensus_entropy, kl_max
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray, vote_entropies
from sampler.threads import in_stretches

MEASURES = {"consensus_entropy": consensus_entropy, "kl_max": kl_max, "bald": bald}
"""What a committee can be asked for besides ``vote_entropy``; see ``sampler.committee_scores``."""

_REGULARISATION = 10.0
_ITERATIONS = 60
_TOLERANCE = 1e-4  # at ten times as much, with a hundred classes, members stop at the head that they set out from
_BLOCK_VALUES, _LEAST_STEP = 262_144, 256  # 1 MB: what is done to a block stays within the cache of one core
_DECIMALS = 6  # beyond them lie rounding errors of the product, which would decide ties by the place in the array


@dataclass(frozen=True)
class LinearCommittee:
    """Softmax heads over the same features.

    Attributes:
        weights: Shape ``(members, classes, d)``, float32.
        intercepts: Shape ``(members, classes)``, float32.
    """

    weights: NDArray[np.float32]
    intercepts: NDArray[np.float32]

    def __post_init__(self) -> None:
        w, b = self.weights, self.intercepts
        if w.ndim != 3 or b.shape != w.shape[:2] or 0 in b.shape:
            raise InvalidInput("committee", f"weights {w.shape} and intercepts {b.shape} are no members over classes")
        if not (np.isfinite(w).all() and np.isfinite(b).all()):
            raise InvalidInput("committee", "a weight is NaN or infinite; the fit has diverged")

    def unscaled(self, scaling: Scaling) -> LinearCommittee:
        """The same members for features that ``scaling`` has not been applied to: no scaled copy is needed then."""
        weights: NDArray[np.float32] = np.divide(self.weights, scaling[1], dtype=np.float32)
        shift: NDArray[np.float32] = weights @ scaling[0].astype(np.float32)
        return LinearCommittee(weights, self.intercepts - shift)

    def logits(self, chunk: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Shape ``(n, d)`` in, ``(members, classes, n)`` out, by one product with all members' weights.

        ``out``, of shape ``(members · classes, n)``, is written to where it is given.
        """
        n_members, n_classes, d = self.weights.shape
        product = np.matmul(self.weights.reshape(-1, d), chunk.T, out=out)
        product += self.intercepts.reshape(-1, 1)
        return product.reshape(n_members, n_classes, len(chunk))

    def probabilities(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape ``(n, d)`` in, ``(members, n, classes)`` out."""
        logits = self.logits(chunk)
        block, _ = _softmax(logits, logits.max(axis=1))
        return np.asarray(block.transpose(0, 2, 1))


def linear_committee_scores(
    committee: LinearCommittee,
    features: NDArray[np.floating[Any]],
    rows: IntArray,
    measure: str,
    n_classes: int,
    *,
    threads: int | None = None,
) -> FloatArray:
    """The disagreement of linear members on ``rows``, predictions included: features are read once.

    Args:
        committee: The members.
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        rows: Shape ``(k,)``.
        measure: ``vote_entropy``, ``consensus_entropy``, ``kl_max`` or ``bald``.
        n_classes: Classes of the project, of which the members may not know all; the entropies are shares of the
            largest that so many can have.
        threads: How many stretches at once; a core each where None. They change no bit.

    Returns:
        Shape ``(k,)``: as the scores of the same name for stored probabilities, to six decimals.

    Raises:
        InvalidInput: Features of another width, or NaN or infinite.
    """
    n_members = len(committee.weights)
    scores = np.empty(len(rows))

    def ask(begin: int, end: int) -> None:
        found = scores[begin:end]
        for stretch, block, best in _asked(committee, features, rows[begin:end]):
            if measure == "vote_entropy":
                found[stretch] = vote_entropies(_votes(block, best))
            else:
                found[stretch] = MEASURES[measure](*_softmax(block, best))

    in_stretches(ask, len(rows), threads)
    largest = {"vote_entropy": min(n_members, n_classes), "consensus_entropy": n_classes}.get(measure)
    if largest is not None:
        scores = scores / np.log(largest) if largest > 1 else np.zeros(len(rows))
        np.clip(scores, 0.0, 1.0, out=scores)
    return np.round(scores, _DECIMALS) + 0.0


def linear_committee_votes(
    committee: LinearCommittee, features: NDArray[np.floating[Any]], rows: IntArray
) -> NDArray[np.unsignedinteger[Any]]:
    """The class that each member votes for on ``rows``, the first where two are equal; features are read once.

    Returns:
        Shape ``(k, members)``, of the smallest integers that hold the classes.

    Raises:
        InvalidInput: Features of another width, or NaN or infinite.
    """
    votes = np.empty((len(committee.weights), len(rows)), dtype=np.min_scalar_type(committee.weights.shape[1]))

    def ask(begin: int, end: int) -> None:
        for stretch, block, best in _asked(committee, features, rows[begin:end]):
            votes[:, begin:end][:, stretch] = _votes(block, best)

    in_stretches(ask, len(rows))
    return votes.T


def linear_members(committee: Any) -> LinearCommittee:
    """The heads of a modAL committee of logistic regressions that know the same classes, as `fit_committee` makes it.

    For two classes scikit-learn keeps one row of weights, the second class's score against 0.
    """
    weights = np.stack([learner.estimator.coef_ for learner in committee]).astype(np.float32)
    intercepts = np.stack([learner.estimator.intercept_ for learner in committee]).astype(np.float32)
    if weights.shape[1] == 1:
        weights = np.concatenate([np.zeros_like(weights), weights], axis=1)
        intercepts = np.concatenate([np.zeros_like(intercepts), intercepts], axis=1)
    return LinearCommittee(weights, intercepts)


def _asked(
    committee: LinearCommittee, features: NDArray[np.floating[Any]], rows: IntArray
) -> Iterator[tuple[slice, Block, Block]]:
    """The members' logits: where a stretch lies in ``rows``, ``(members, classes, stretch)``, and the largest of each.

    A block is good until the next is asked for.
    """
    d = committee.weights.shape[2]
    if features.ndim != 2 or features.shape[1] != d:
        raise InvalidInput("features", f"shape {features.shape} does not go with a committee over {d} columns")
    step = max(_LEAST_STEP, _BLOCK_VALUES // committee.intercepts.size)
    buffer = np.empty((committee.intercepts.size, step), dtype=np.float32)
    for stretch, chunk in feature_chunks(features, rows):
        for start in range(0, len(chunk), step):
            part = chunk[start : start + step]
            with np.errstate(over="ignore", invalid="ignore"):
                block = committee.logits(part, buffer[:, : len(part)])
                best = block.max(axis=1)
            first = stretch.start + start
            where = slice(first, first + len(part))
            if not np.isfinite(best).all():
                refuse_features(part, rows[where])
            yield where, block, best


def fit_linear_committee(
    points: NDArray[np.float32], y: IntArray, rng: np.random.Generator, *, n_members: int = N_MEMBERS
) -> LinearCommittee:
    """Logistic regressions, each on a stratified bootstrap (query by bagging: Abe & Mamitsuka 1998).

    One is fitted on all labels; each member sets out from it, since a bootstrap moves a head only a little. A bootstrap
    is a weight for each label, so no row is copied.

    Args:
        points: Shape ``(l, d)``: features of the labelled rows.
        y: Shape ``(l,)``: their classes, at least two different ones. The members know those, in ascending order.
        rng: Draws the bootstraps.
        n_members: How many members.

    Raises:
        InvalidInput: Fewer than two classes, no member, or shapes that do not go together.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if points.ndim != 2 or len(points) != len(y):
        raise InvalidInput("y", f"{len(y)} labels do not go with features of shape {points.shape}")
    if len(np.unique(y)) < 2:
        raise InvalidInput("y", "a committee needs labels of at least two classes")
    if n_members < 1:
        raise InvalidInput("n_members", "a committee needs at least one member")
    head = LogisticRegression(C=_REGULARISATION, max_iter=_ITERATIONS, tol=_TOLERANCE, warm_start=True)
    weights, intercepts = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a member that is nearly done votes well enough
        head.fit(points, y)
        start = head.coef_.copy(), head.intercept_.copy()
        for _ in range(n_members):
            head.coef_, head.intercept_ = start[0].copy(), start[1].copy()
            drawn = np.bincount(bootstrap(y, rng), minlength=len(y)).astype(points.dtype)
            head.fit(points, y, sample_weight=drawn)
            weights.append(_by_class(head.coef_))
            intercepts.append(_by_class(head.intercept_[:, None])[:, 0])
    return LinearCommittee(np.array(weights, dtype=np.float32), np.array(intercepts, dtype=np.float32))


def _by_class(coefficients: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """One row a class: scikit-learn keeps a single one for two, whose softmax form has half of it on either side."""
    if len(coefficients) > 1:
        return coefficients
    return np.concatenate([-coefficients / 2.0, coefficients / 2.0])


def _votes(block: Block, best: Block) -> NDArray[np.unsignedinteger[Any]]:
    """The class with the largest logit, the first where two are equal: shape ``(members, items)``.

    ``argmax`` along an axis that is not the last takes five times as long.
    """
    n_classes = block.shape[1]
    dtype = np.min_scalar_type(n_classes)
    from_last = np.arange(n_classes, 0, -1, dtype=dtype)[:, None]
    votes: NDArray[np.unsignedinteger[Any]] = n_classes - ((block == best[:, None]) * from_last).max(axis=1)
    return votes


def _softmax(block: Block, best: Block) -> tuple[Block, Block]:
    """Probabilities of logits, which are written over, and each member's Σ p log p.

    The latter needs no logarithm of every entry.
    """
    block -= best[:, None]
    p = np.exp(block)
    total = p.sum(axis=1)
    negative = np.einsum("mci,mci->mi", p, block) / total - np.log(total)
    p *= (1.0 / total)[:, None]
    return p, negative
