"""A short sentence for each ranked item, for whoever labels it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sampler.scores import FloatArray, IntArray, top_two

RANDOM = "drawn at random"
UNCOVERED = "typical of a group that nothing labelled covers yet"
COVERED = "typical of a large group with few labels"
GROUP = "stands for a group of similar items"
FIRST = "the most central item of the pool"
NOTHING_LIKE_IT = "nothing like it labelled yet"
CORNER = "covers a corner of the pool"
FILLS_IN = "fills a gap between labelled items"


def percent(share: float) -> str:
    """A share as a percentage that never rounds to a claim of none: ``<1 %``, ``3 %``.

    >>> percent(0.004), percent(0.034)
    ('<1 %', '3 %')
    """
    return "<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def margin_reasons(probabilities: FloatArray, class_names: Sequence[str] | None = None) -> list[str]:
    """How near the two likeliest classes are. ``probabilities`` has shape ``(k, n_classes)``."""
    first, second = top_two(probabilities)
    gaps = np.maximum(first - second, 0.0)
    if class_names is None or probabilities.shape[1] < 2:
        return [f"two classes within {percent(gap)}" for gap in gaps]
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    return [
        f"{class_names[a]} or {class_names[b]}: within {percent(gap)}" for (a, b), gap in zip(best, gaps, strict=True)
    ]


def confidence_reasons(confidences: FloatArray) -> list[str]:
    """How sure the model is of its best guess. ``confidences`` has shape ``(k,)``."""
    return [f"the model's best guess has only {percent(float(c))}" for c in confidences]


def entropy_reasons(entropies: FloatArray) -> list[str]:
    """How evenly the classes share the probability. ``entropies`` has shape ``(k,)``, in [0, 1]."""
    return [f"the model is torn between its classes ({percent(float(e))} of the most doubt)" for e in entropies]


def vote_reasons(votes: IntArray) -> list[str]:
    """How many members disagree with the largest group. ``votes`` has shape ``(k, members)``."""
    n_members = votes.shape[1]
    same = (votes[:, :, None] == votes[:, None, :]).sum(axis=2).max(axis=1) if len(votes) else np.empty(0)
    return [
        f"all {n_members} models agree"
        if group == n_members
        else f"all {n_members} models disagree"
        if group == 1
        else f"{n_members - int(group)} of {n_members} models disagree with the rest"
        for group in same
    ]
