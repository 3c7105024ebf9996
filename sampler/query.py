"""What a query strategy is given and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sampler.class_names import ClassNames
from sampler.diversity import HalfRows, gather
from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray, check_probabilities


def _no_rows() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class QueryContext:
    """All that a strategy may know. Rows are row numbers of ``features``.

    Attributes:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        candidates: Shape ``(m,)``: rows that may be ranked.
        labeled: Shape ``(l,)``: rows with a label that is trained on.
        y: Shape ``(l,)``: their class indices.
        n_classes: Number of classes of the project.
        probabilities: Shape ``(m, n_classes)``: what the model thinks of the candidates, in their order; None before
            there is a model.
        committee: Shape ``(members, m, n_classes)``: the same of several models; where None, the committee strategy
            trains its own.
        pending: Rows in somebody's hands: never returned, and counted as covered.
        rng: Decides ties and starts. The same generator state gives the same ranking.
        batch_size: About how many items are labelled before the next ranking replaces this one.
        class_names: Names for the reasons; none are mentioned where None.
        weights: Shape ``(m,)``, > 0: how many items each candidate stands for; 1 each where None. Strategies that cover
            the pool or estimate sums over it count them; a score of one item does not.
        scaling: What to subtract from the columns and what to divide them by, each of shape ``(d,)``, before distances
            mean anything; features as they are where None.
        names: The names of the classes among the items (`sampler.class_names`): where to look for classes not seen yet;
            None where nothing is known of them.
        by_chance: Whether the model predicts labels that it was not trained on no better than how often each class
            occurs.
    """

    features: NDArray[np.floating[Any]]
    candidates: IntArray
    labeled: IntArray
    y: IntArray
    n_classes: int
    rng: np.random.Generator
    probabilities: FloatArray | None = None
    committee: FloatArray | None = None
    pending: IntArray = field(default_factory=_no_rows)
    batch_size: int = 20
    class_names: Sequence[str] | None = None
    weights: FloatArray | None = None
    scaling: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]] | None = None
    names: ClassNames | None = None
    by_chance: bool = False

    @property
    def covered(self) -> IntArray:
        """Rows that a diverse batch need not cover again: labelled or pending."""
        return np.unique(np.concatenate([self.labeled, self.pending]))

    @property
    def sizes(self) -> FloatArray:
        """How many items each candidate stands for: shape ``(m,)``."""
        return np.ones(len(self.candidates)) if self.weights is None else self.weights

    def points(self, rows: IntArray) -> NDArray[np.float32]:
        """The scaled features of ``rows`` as float32, shape ``(len(rows), d)``.

        Raises:
            InvalidInput: One of them is NaN or infinite.
        """
        points = gather(self.features, rows)
        if self.scaling is not None:
            points -= self.scaling[0].astype(np.float32)
            points /= self.scaling[1].astype(np.float32)
        return points

    def compact_points(self, rows: IntArray) -> NDArray[np.float32] | HalfRows:
        """The same, where they lie as long as nothing but a cast is to be done: for what reads a stretch at a time.

        Raises:
            InvalidInput: One of them is NaN or infinite; where they lie, it is raised when that one is read.
        """
        if self.features.dtype == np.float16 and self.scaling is None:
            return HalfRows(self.features, rows)
        return self.points(rows)


@dataclass(frozen=True)
class Ranking:
    """Rows, the best first; every prefix is a good batch.

    Attributes:
        rows: Shape ``(k,)``, int64, no duplicates.
        scores: Shape ``(k,)``, float64, finite. Higher = label sooner, as far as one score can say: where a strategy
            spreads its picks out, an item of lower score may stand before a near-duplicate of higher score.
        reasons: A short sentence for each row, for whoever labels it.
        probabilities: Shape ``(k,)``, float64, in (0, 1]: with which each row was drawn at its place, given those
            before it, out of all candidates (`sampler.draws`); None where nothing was left to chance but ties, or
            where chance has no such probability.
    """

    rows: IntArray
    scores: FloatArray
    reasons: list[str]
    probabilities: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.rows)


class QueryStrategy(Protocol):
    """Ranks candidates. ``needs`` names the fields of the context that must not be None."""

    @property
    def name(self) -> str:
        """The name in settings and on the command line."""

    @property
    def needs(self) -> frozenset[str]:
        """Optional fields of the context without which the strategy cannot rank."""

    def rank(self, ctx: QueryContext, size: int) -> Ranking:
        """The ``min(size, len(ctx.candidates))`` candidates to label first, the best first."""


def prepared(ctx: QueryContext) -> QueryContext:
    """The context with its arrays checked and its rows in one order; candidates without labelled and pending rows.

    Raises:
        InvalidInput: A shape or a value is wrong; the message names the field.
    """
    candidates, labeled, pending = (
        _rows(ctx, getattr(ctx, name), name) for name in ("candidates", "labeled", "pending")
    )
    y = np.asarray(ctx.y, dtype=np.int64)
    if y.shape != labeled.shape:
        raise InvalidInput("y", f"{y.shape} labels do not go with {len(labeled)} labelled rows")
    if ctx.n_classes < 1 or (len(y) and (y.min() < 0 or y.max() >= ctx.n_classes)):
        raise InvalidInput("y", f"a class lies outside 0 … {ctx.n_classes - 1}")
    pending = np.unique(pending)
    if len(labeled) > 1 and not (np.diff(labeled) > 0).all():
        order = np.argsort(labeled, kind="stable")
        labeled, y = labeled[order], y[order]
    found = _Candidates.checked(ctx, candidates)
    taken = np.zeros(len(ctx.features), dtype=bool)
    taken[labeled] = True
    taken[pending] = True
    free = ~taken[found.rows]
    if not free.all():
        found = found.at(free)
    return replace(
        ctx,
        candidates=found.rows,
        labeled=labeled,
        pending=pending,
        y=y,
        probabilities=found.probabilities,
        committee=found.committee,
        weights=found.weights,
        batch_size=max(1, int(ctx.batch_size)),
    )


@dataclass(frozen=True)
class _Candidates:
    """Rows that may be ranked, and what is said of each in the same order."""

    rows: IntArray
    probabilities: FloatArray | None
    committee: FloatArray | None
    weights: FloatArray | None

    @classmethod
    def checked(cls, ctx: QueryContext, rows: IntArray) -> _Candidates:
        """With ascending rows."""
        probabilities, committee = ctx.probabilities, ctx.committee
        shape = (len(rows), ctx.n_classes)
        if probabilities is not None:
            probabilities = check_probabilities(probabilities)
            if probabilities.shape != shape:
                raise InvalidInput(
                    "probabilities", f"shape {probabilities.shape} is not {shape}, that of the candidates"
                )
        if committee is not None:
            committee = _checked_committee(committee, shape)
        weights = None if ctx.weights is None else _checked_weights(ctx.weights, len(rows))
        found = cls(rows, probabilities, committee, weights)
        if (rows[1:] > rows[:-1]).all():
            return found
        found = found.at(np.argsort(rows, kind="stable"))
        if (np.diff(found.rows) == 0).any():
            raise InvalidInput("candidates", "a row is named twice")
        return found

    def at(self, places: NDArray[Any]) -> _Candidates:
        """Those at some places, or where a mask is set."""
        return _Candidates(
            self.rows[places],
            None if self.probabilities is None else self.probabilities[places],
            None if self.committee is None else self.committee[:, places],
            None if self.weights is None else self.weights[places],
        )


def _checked_committee(committee: FloatArray, shape: tuple[int, int]) -> FloatArray:
    if committee.ndim != 3 or len(committee) == 0 or committee.shape[1:] != shape:
        raise InvalidInput("committee", f"shape {committee.shape} is not (members, {shape[0]}, {shape[1]})")
    for number, member in enumerate(committee):
        try:
            check_probabilities(member)
        except InvalidInput as problem:
            raise InvalidInput("committee", f"member {number}: {problem.reason}") from None
    return committee


def _checked_weights(weights: FloatArray, m: int) -> FloatArray:
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (m,):
        raise InvalidInput("weights", f"shape {array.shape} is not ({m},), that of the candidates")
    if m and not (array.min() > 0.0 and np.isfinite(array).all()):
        raise InvalidInput("weights", "each must be a finite number above 0: how many items a candidate stands for")
    return array


def _rows(ctx: QueryContext, rows: IntArray, name: str) -> IntArray:
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidInput(name, f"shape {array.shape}, dtype {array.dtype}: hand in a list of row numbers")
    array = array.astype(np.int64, copy=False)
    if array.size and (array.min() < 0 or array.max() >= len(ctx.features)):
        raise InvalidInput(name, f"a row lies outside 0 … {len(ctx.features) - 1}")
    return array
