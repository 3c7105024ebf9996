"""The default."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sampler.auto_constants import FEW_CLASSES, MANY_CLASSES
from sampler.coldstart import is_cold, labels_for_doubts
from sampler.query import QueryContext, Ranking
from sampler.scores import IntArray
from sampler.strategies.herding import rank_herding
from sampler.strategies.registry import Body, strategy
from sampler.strategies.typiclust import rank_typiclust
from sampler.strategies.uncertainty_herding import rank_uncertainty_herding
from sampler.strategies.unseen import with_unseen_classes

COLD_START, DOUBTS = "cold_start", "doubts"


@dataclass(frozen=True)
class Phase:
    """What the default does at a moment.

    Attributes:
        name: ``cold_start`` while it covers the pool, ``doubts`` once it covers what the model doubts.
        strategy: Name of the query strategy that it leaves the ranking to.
        why: Why, as a clause that can follow "since".
    """

    name: str
    strategy: str
    why: str


def auto_phase(y: IntArray, n_classes: int, *, has_model: bool) -> Phase:
    """Which phase the default is in, and why.

    Args:
        y: Shape ``(l,)``: class indices of the labels that are trained on.
        n_classes: Number of classes of the project.
        has_model: Whether there are probabilities to go by.

    >>> auto_phase(np.array([0, 1] * 6), 2, has_model=True).why
    '12 labels of 20 are too few to trust what the model doubts'
    """
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


_BODIES: dict[str, Body] = {
    "herding": rank_herding,
    "typiclust": rank_typiclust,
    "uncertainty_herding": rank_uncertainty_herding,
}


@strategy("auto")
def rank_auto(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """Cover the pool; once the model knows something, cover what it doubts."""
    phase = auto_phase(ctx.y, ctx.n_classes, has_model=ctx.probabilities is not None)
    return with_unseen_classes(ctx, size, seed, _BODIES[phase.strategy])
