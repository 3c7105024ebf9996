"""A short sentence for each ranked item, for whoever labels it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.scores import FloatArray, top_two

RANDOM = "drawn at random"
UNCOVERED = "typical of a group that nothing labelled covers yet"
COVERED = "typical of a large group with few labels"
GROUP = "stands for a group of similar items"
FIRST = "the most central item of the pool"
NOTHING_LIKE_IT = "nothing like it labelled yet"
CORNER = "covers a corner of the pool"
FILLS_IN = "fills a gap between labelled items"
OTHER_LESSON = "would teach the model something that the others do not"
SURER = "makes the model surer about many other items"
SURER_ALONE = "makes the model surer about items like it"
MANY_LIKE_IT = "many items are like it, and none of them is labelled"
DOUBTS_LIKE_IT = "the model is unsure about many items like it"
SECOND_COVER = "one more from where labels are already"
UNSTABLE = "the guess changes when parts of the item are hidden"
STABLE = "stands for items whose guess is nearly stable"
UNLIKE_LABELLED = "unlike anything labelled"
FIRST_OF_A_CLASS = "may be the first of a class without labels"
UNSURE_AND_UNLIKE = "the model is unsure about it, and little like it is labelled"


def chosen_by(library: str) -> str:
    """Who chose it, where a library of others tells no more."""
    return f"chosen by {library}"


def percent(share: float) -> str:
    """A share as a percentage that never rounds to a claim of none: ``<1 %``, ``3 %``.

    >>> percent(0.004), percent(0.034)
    ('<1 %', '3 %')
    """
    return "<1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def first_of(name: str) -> str:
    """What may be the first item of a class, which is called so."""
    return f"may be the first of '{name}'"


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


def vote_reasons(votes: NDArray[np.integer[Any]]) -> list[str]:
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


def draw_reasons(probabilities: FloatArray, class_names: Sequence[str] | None = None) -> list[str]:
    """The margin behind a draw whose odds it decides. ``probabilities`` has shape ``(k, n_classes)``."""
    return [f"drawn by chance: {why}" for why in margin_reasons(probabilities, class_names)]


def stray_reasons(scores: FloatArray, n_members: int) -> list[str]:
    """How far one member strays from the mean of all. ``scores`` has shape ``(k,)``, in nats, at most log(members)."""
    return [f"one of {n_members} models strays by {_share(s, n_members)} of the most possible" for s in scores]


def disagreement_reasons(scores: FloatArray, n_members: int, n_classes: int) -> list[str]:
    """How much the members disagree beyond what each doubts. ``scores`` has shape ``(k,)``, in nats."""
    most = min(n_members, n_classes)
    return [f"{n_members} models contradict one another by {_share(s, most)} of the most possible" for s in scores]


def _share(nats: float, largest_of: int) -> str:
    return percent(min(1.0, float(nats) / float(np.log(largest_of)))) if largest_of > 1 else percent(0.0)


def change_reasons(scores: FloatArray, typical: float, what: str) -> list[str]:
    """How many times the typical candidate's effect a label would have. ``scores`` has shape ``(k,)``, not negative.

    >>> change_reasons(np.array([3.0]), 1.5, "the model")
    ['a label would move the model 2.0 times as far as usual']
    """
    if typical <= 0.0:
        return [f"a label could move {what}"] * len(scores)
    return [f"a label would move {what} {min(s / typical, 999.0):.1f} times as far as usual" for s in scores]


def error_reasons(scores: FloatArray) -> list[str]:
    """Whether a label is expected to leave the model surer of the pool. ``scores`` has shape ``(k,)``."""
    return [
        "its label should make the model surer of the whole pool" if s > 0.0 else "its label may teach the pool little"
        for s in scores
    ]


def density_reasons(densities: FloatArray) -> list[str]:
    """How like the rest an item is. ``densities`` has shape ``(k,)``: mean cosine similarity."""
    return [f"much like the rest of the pool (similarity {d:.2f} on average)" for d in densities]


def class_reasons(shares: FloatArray, names: Sequence[str], of: str) -> list[str]:
    """The likeliest class and how rare that is. ``shares`` has shape ``(k,)``, with a name for each."""
    return [f"perhaps {name}, {percent(float(share))} of {of}" for share, name in zip(shares, names, strict=True)]
