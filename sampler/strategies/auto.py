"""The default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sampler import reasons
from sampler.auto_constants import FEW_CLASSES, MANY_CLASSES
from sampler.batch import best_first
from sampler.coldstart import is_cold, labels_for_doubts
from sampler.draws import WeightSum, draw_probabilities
from sampler.power import power_scores
from sampler.query import QueryContext, Ranking
from sampler.scores import IntArray
from sampler.strategies.herding import rank_herding
from sampler.strategies.registry import Body, strategy
from sampler.strategies.typiclust import rank_typiclust
from sampler.strategies.uncertainty_herding import rank_uncertainty_herding
from sampler.strategies.unseen import with_unseen_classes

COLD_START, DOUBTS, BY_CHANCE = "cold_start", "doubts", "by_chance"


@dataclass(frozen=True)
class Phase:
    """What the default does at a moment.

    Attributes:
        name: ``cold_start`` while it covers the pool, ``doubts`` once it covers what the model doubts,
            ``by_chance`` while it draws because the model knows nothing yet.
        strategy: Name of the query strategy that it leaves the ranking to.
        why: Why, as a clause that can follow "since".
    """

    name: str
    strategy: str
    why: str


def auto_phase(y: IntArray, n_classes: int, *, has_model: bool, by_chance: bool = False) -> Phase:
    """Which phase the default is in, and why.

    Args:
        y: Shape ``(l,)``: class indices of the labels that are trained on.
        n_classes: Number of classes of the project.
        has_model: Whether there are probabilities to go by.
        by_chance: Whether they are no better than how often each class occurs.

    >>> auto_phase(np.array([0, 1] * 6), 2, has_model=True).why
    '12 labels of 20 are too few to trust what the model doubts'
    """
    if has_model and by_chance and not is_cold(y, n_classes):
        why = "the model predicts labels that it has not seen no better than how often each class occurs"
        return Phase(BY_CHANCE, "random", why)
    if has_model and not is_cold(y, n_classes):
        return Phase(DOUBTS, "uncertainty_herding", f"{len(y)} labels are enough to trust what the model doubts")
    herds = FEW_CLASSES < n_classes < MANY_CLASSES
    return Phase(COLD_START, "herding" if herds else "typiclust", _why_cold(y, n_classes))


def _why_cold(y: IntArray, n_classes: int) -> str:
    if len(y) == 0:
        return "nothing is labelled yet"
    if len(np.unique(y)) < 2:
        return "all labels are of one class so far"
    enough = labels_for_doubts(n_classes)
    if len(y) < enough:
        return f"{len(y)} labels of {enough} are too few to trust what the model doubts"
    return "there is no model yet"


def _draw(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """At random, with odds by how many items each candidate stands for."""
    scores = power_scores(ctx.sizes, ctx.candidates, seed)
    picks = best_first(scores, ctx.candidates, size, seed)
    drawn = draw_probabilities(ctx.sizes[picks], WeightSum.of(ctx.sizes))
    return Ranking(ctx.candidates[picks], scores[picks], [reasons.RANDOM] * len(picks), drawn)


_BODIES: dict[str, Body] = {
    "herding": rank_herding,
    "random": _draw,
    "typiclust": rank_typiclust,
    "uncertainty_herding": rank_uncertainty_herding,
}


@strategy("auto")
def rank_auto(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Cover the pool; once the model knows something, cover what it doubts."""
    phase = auto_phase(ctx.y, ctx.n_classes, has_model=ctx.probabilities is not None, by_chance=ctx.by_chance)
    return with_unseen_classes(ctx, size, seed, _BODIES[phase.strategy])
