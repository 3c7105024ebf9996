"""A committee of logistic members, each trained on its own bootstrap of the labels, voting through modAL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import gather
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

N_MEMBERS = 5
_REGULARISATION = 10.0
_ITERATIONS = 60


def bootstrap(y: IntArray, rng: np.random.Generator) -> IntArray:
    """Positions drawn with replacement, each class at least once and as often as it occurs: shape ``(len(y),)``.

    Stratified, since a member that has never seen a class cannot vote for it, and would disagree for no reason.
    """
    parts = [rng.choice(where, len(where)) for where in (np.flatnonzero(y == c) for c in np.unique(y))]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def canonical_classes(labeled: IntArray, y: IntArray) -> IntArray:
    """The classes numbered as they first come, by row: models fitted on them do not depend on how classes are numbered.

    >>> canonical_classes(np.array([7, 3, 5]), np.array([4, 2, 4])).tolist()
    [1, 0, 1]
    """
    order = np.argsort(labeled, kind="stable")
    classes, first, inverse = np.unique(y[order], return_index=True, return_inverse=True)
    number = np.empty(len(classes), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(classes))
    canonical = np.empty(len(y), dtype=np.int64)
    canonical[order] = number[inverse]
    return canonical


def fit_committee(
    features: NDArray[np.floating[Any]],
    labeled: IntArray,
    y: IntArray,
    rng: np.random.Generator,
    *,
    n_members: int = N_MEMBERS,
) -> Any:
    """A modAL ``Committee`` of logistic regressions, each fitted on its own bootstrap.

    Args:
        features: Shape ``(n, d)``.
        labeled: Shape ``(l,)``: rows to train on.
        y: Shape ``(l,)``: their classes, at least two different ones.
        rng: Draws the bootstraps (modAL's own draw from numpy's global state, so they are not used).
        n_members: How many members.

    Raises:
        InvalidInput: Fewer than two classes, or features that are not finite.
    """
    from sklearn.linear_model import LogisticRegression

    from sampler.modal import committee_of

    if len(np.unique(y)) < 2:
        raise InvalidInput("y", "a committee needs labels of at least two classes")
    points = gather(features, labeled)
    members = []
    for _ in range(n_members):
        drawn = bootstrap(y, rng)
        member = LogisticRegression(C=_REGULARISATION, max_iter=_ITERATIONS, tol=1e-3)
        members.append((member, points[drawn], y[drawn]))
    return committee_of(members)


def votes_of(probabilities: FloatArray) -> IntArray:
    """The votes behind class probabilities ``(members, n_items, n_classes)``: shape ``(n_items, members)``.

    Raises:
        InvalidInput: NaN or infinity among them.
    """
    if not np.isfinite(probabilities).all():
        raise InvalidInput("committee", "NaN or infinity among the members' probabilities")
    return np.ascontiguousarray(probabilities.argmax(axis=2).T.astype(np.int64))
