"""Scores of a committee's disagreement. Higher means: label sooner. Shape ``(n_items,)``, float64, finite.

Inside, a block has shape ``(members, classes, items)``: sums over classes and members then run along whole columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sampler.errors import InvalidInput
from sampler.scores import FloatArray, check_probabilities, vote_entropies

Block = NDArray[np.floating[Any]]
Measure = Callable[[Block, Block], FloatArray]
"""From a block of probabilities, and each member's Σ p log p of shape ``(members, items)``, to a score in nats."""

_CHUNK_VALUES = 262_144


def check_committee(committee: ArrayLike) -> FloatArray:
    """Return the members' probabilities as an array, or say what is wrong with them.

    Args:
        committee: Shape ``(members, n_items, n_classes)``; each row of classes adds up to one.

    Raises:
        InvalidInput: Wrong shape, no member, or rows that are no distributions.
    """
    array = np.asarray(committee)
    if array.ndim != 3 or array.shape[0] < 1 or array.shape[2] < 1:
        raise InvalidInput("committee", f"shape {array.shape} is not (members, n_items, n_classes)")
    if not np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float64)
    for index, member in enumerate(array):
        try:
            check_probabilities(member)
        except InvalidInput as error:
            raise InvalidInput("committee", f"member {index}: {error.reason}") from None
    return array


def hard_vote_entropy_scores(committee: ArrayLike) -> FloatArray:
    """Vote entropy (Dagan & Engelson 1995) of members given by their probabilities; each votes for its likeliest class.

    A member that is torn between two votes for the first of them.

    Args:
        committee: Shape ``(members, n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, in [0, 1]: the share of the largest entropy that so many votes can have.

    Raises:
        InvalidInput: The members' rows are no distributions.

    >>> hard_vote_entropy_scores([[[0.9, 0.1], [0.9, 0.1]], [[0.6, 0.4], [0.4, 0.6]]]).tolist()
    [0.0, 1.0]
    """
    array = check_committee(committee)
    n_members, n, n_classes = array.shape
    largest = np.log(min(n_members, n_classes))
    if largest == 0.0:
        return np.zeros(n)
    return np.asarray(np.clip(vote_entropies(array.argmax(axis=2)) / largest, 0.0, 1.0) + 0.0)


def consensus_entropy_scores(committee: ArrayLike) -> FloatArray:
    """Entropy of the members' mean distribution, as a share of the largest possible.

    Settles (2012) calls it soft vote entropy: each member hands out its one vote by its probabilities, and the
    entropy of what the classes got is taken. It holds what single members are unsure of, too; ``bald_scores`` does not.

    Args:
        committee: Shape ``(members, n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, in [0, 1]; 0 where there is one class.

    Raises:
        InvalidInput: The members' rows are no distributions.

    >>> consensus_entropy_scores([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]]).tolist()
    [1.0, 0.0]
    """
    array = check_committee(committee)
    if array.shape[2] == 1:
        return np.zeros(array.shape[1])
    return np.asarray(np.clip(_measured(array, consensus_entropy) / np.log(array.shape[2]), 0.0, 1.0) + 0.0)


soft_vote_entropy_scores = consensus_entropy_scores
"""The name that Settles (2012) uses."""


def kl_max_scores(committee: ArrayLike) -> FloatArray:
    """Largest Kullback-Leibler divergence of a member from the members' mean, in nats ("max disagreement" in modAL).

    The mean of these divergences is McCallum & Nigam's (1998) score and equal to ``bald_scores``.

    Args:
        committee: Shape ``(members, n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, from 0 (all the same) to the logarithm of the number of members.

    Raises:
        InvalidInput: The members' rows are no distributions.

    >>> kl_max_scores([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(6).tolist()
    [0.693147, 0.0]
    """
    return _measured(check_committee(committee), kl_max)


def bald_scores(committee: ArrayLike) -> FloatArray:
    """Mutual information of the label and the choice of a member, in nats (BALD: Houlsby et al. 2011).

    The entropy of the mean less the mean of the entropies: what they disagree on, without what each is unsure of.

    Args:
        committee: Shape ``(members, n_items, n_classes)``.

    Returns:
        Shape ``(n_items,)``, from 0 to the logarithm of the smaller of members and classes.

    Raises:
        InvalidInput: The members' rows are no distributions.

    >>> bald_scores([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]).round(6).tolist()
    [0.693147, 0.0]
    """
    return _measured(check_committee(committee), bald)


def consensus_entropy(block: Block, negative: Block) -> FloatArray:
    """Entropy of the mean, in nats: shape ``(items,)``."""
    mean = block.mean(axis=0)
    return -_p_log(mean, mean)


def kl_max(block: Block, negative: Block) -> FloatArray:
    """Largest divergence from the mean, in nats: shape ``(items,)``."""
    logs = np.log(np.maximum(block.mean(axis=0), np.finfo(block.dtype).tiny))
    divergences = negative - np.einsum("mci,ci->mi", block, logs)
    return np.asarray(np.maximum(divergences.max(axis=0), 0.0))


def bald(block: Block, negative: Block) -> FloatArray:
    """Mean divergence from the mean, in nats: shape ``(items,)``."""
    return np.asarray(np.maximum(consensus_entropy(block, negative) + negative.mean(axis=0), 0.0))


def _p_log(p: Block, q: Block) -> Block:
    """Σ p log q over the classes, which come first but for the items; 0 where p is 0."""
    return np.asarray(np.einsum("ci,ci->i", p, np.log(np.maximum(q, np.finfo(q.dtype).tiny))))


def _measured(array: FloatArray, measure: Measure) -> FloatArray:
    """A measure of checked probabilities ``(members, n_items, n_classes)``, stretch by stretch."""
    n_members, n, n_classes = array.shape
    scores = np.empty(n)
    step = max(64, _CHUNK_VALUES // (n_members * n_classes))
    dtype = np.promote_types(array.dtype, np.float32)
    for start in range(0, n, step):
        block = np.ascontiguousarray(array[:, start : start + step].transpose(0, 2, 1), dtype=dtype)
        negative = np.stack([_p_log(member, member) for member in block])
        scores[start : start + step] = measure(block, negative)
    return scores
