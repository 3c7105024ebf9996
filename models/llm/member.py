"""The language model as a member of a teacher: a head on people's labels and, where there are none, on its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.errors import NotFitted
from models.evaluate import log_losses
from models.half import widen
from models.llm.answers import Answers
from models.llm.soft_head import fit_soft_softmax
from models.regularisation import C_GRID, DEFAULT_C
from models.teachers import LogisticTeacher

LEAST_CALIBRATED = 20
"""Rows with both a label and an answer from which on the answers' temperature is fitted; below it is 1."""

_MOST_WORK = 3e7

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """People's labels: rows of the pool, (n,), ascending, and their classes, (n,)."""

    rows: IntArray
    y: IntArray


@dataclass(frozen=True)
class _Part:
    """What one head learns from: labels ``kept``, (n,) of bool, and answers, taken at a temperature."""

    kept: NDArray[np.bool_]
    soft: Answers
    temperature: float


class AnsweredHead:
    """Softmax regression on labels and answers, at the head's own view and scale.

    An answer is a soft label of a row that nobody has labelled, at a temperature at which answers are right on labelled
    rows. Where a person has labelled a row their label counts, and the answer only tells how good answers are. Without
    answers this is the head itself: what the answers bring is the difference.
    """

    def __init__(
        self, name: str, features: NDArray[np.floating], head: LogisticTeacher, labels: Labels, answers: Answers
    ):
        """Args: ``features``, (N, d), of the pool as ``head`` sees it, and what ``name`` it goes by."""
        self._name = name
        self._features = features
        self._head = head
        self._labels = labels
        labelled = np.isin(answers.rows, labels.rows)
        self._held = answers.some(labelled)
        self._soft = answers.some(~labelled)
        self._C, self._temperature = head.C, head.temperature
        self._fitted: LogisticTeacher | None = None

    @property
    def name(self) -> str:
        """As a project's settings name it."""
        return self._name

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """As `models.members.TeacherMember` has it.

        Left out with a fold are its labels, its answers, and each answer to a question in which a label of the fold
        was shown.
        """
        dealt = folds >= 0
        parts = [self._part(folds == fold) for fold in np.unique(folds[dealt])]
        truth = self._labels.y[dealt]
        found: list[tuple[float, float, FloatArray, NDArray[np.float64]]] = []
        starts: list[LogisticTeacher | None] = [None] * len(parts)
        for C in self._grid:
            starts = [self._trained(part, C, start) for part, start in zip(parts, starts, strict=True)]
            temperature = float(np.clip(fit_temperature(self._predicted(parts, starts, 1.0)[dealt], truth), 0.2, 5.0))
            P = self._predicted(parts, starts, temperature)
            found.append((C, temperature, P, log_losses(truth, P[dealt])))
        losses = np.array([rows for *_, rows in found])
        excess = losses - losses[losses.mean(axis=1).argmin()]
        near = np.flatnonzero(excess.mean(axis=1) <= excess.std(axis=1, ddof=1) / np.sqrt(max(len(truth), 1)))
        chosen = found[min(near, key=lambda i: abs(np.log(found[i][0] / DEFAULT_C)))]
        self._C, self._temperature = chosen[:2]
        return chosen[2]

    def fit(self) -> None:
        """Train on all labels and answers, at the C and temperature that `cross_fitted` found, else at the head's."""
        everything = _Part(np.ones(len(self._labels.y), dtype=bool), self._soft, self.answers_temperature)
        fitted = self._trained(everything, self._C, None)
        self._fitted = replace(fitted, temperature=self._temperature)

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """As `models.members.TeacherMember` has it.

        Raises:
            NotFitted: `fit` was not called.
        """
        return self.head.predict_proba(self._features, rows)

    @property
    def head(self) -> LogisticTeacher:
        """What was trained, for rows of other pools; raises NotFitted as `predict_proba` does."""
        if self._fitted is None:
            raise NotFitted(self._name)
        return self._fitted

    @property
    def answers_temperature(self) -> float:
        """At which answers are taken: above 1 where they claim too much."""
        return self._answers_temperature(np.ones(len(self._held), dtype=bool))

    @property
    def n_soft(self) -> int:
        """How many answers stand where people have said nothing."""
        return len(self._soft)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Which labels stood in a question to which there is an answer, (n,).

        Whoever deals folds leaves them out of all (-1): else most answers are left out with each fold.
        """
        return np.isin(self._labels.rows, self._soft.examples)

    @property
    def held(self) -> tuple[Answers, IntArray]:
        """Answers about rows that people have labelled, and those labels."""
        return self._held, self._truth

    @property
    def _truth(self) -> IntArray:
        return self._labels.y[np.searchsorted(self._labels.rows, self._held.rows)]

    def _answers_temperature(self, kept: NDArray[np.bool_]) -> float:
        if kept.sum() < LEAST_CALIBRATED:
            return 1.0
        return fit_temperature(self._held.probabilities[kept], self._truth[kept])

    @property
    def _grid(self) -> tuple[float, ...]:
        """What C is chosen from: without answers the head's stands, and on large problems there are fewer to choose."""
        if not len(self._soft):
            return (self._head.C,)
        work = (len(self._labels.rows) + len(self._soft)) * self._features.shape[1] * self._head.n_classes
        return C_GRID if work <= _MOST_WORK else (self._head.C / 10, self._head.C)

    def _part(self, tested: NDArray[np.bool_]) -> _Part:
        rows = self._labels.rows[tested]
        untold = np.logical_not(np.isin(self._soft.examples, rows).any(axis=1))
        return _Part(~tested, self._soft.some(untold), self._answers_temperature(~np.isin(self._held.rows, rows)))

    def _predicted(self, parts: Sequence[_Part], heads: Sequence[LogisticTeacher | None], at: float) -> FloatArray:
        """What the head of each part says of the labels that it was not trained on, at a temperature; NaN elsewhere."""
        out = np.full((len(self._labels.y), self._head.n_classes), np.nan, dtype=np.float32)
        for part, head in zip(parts, heads, strict=True):
            if head is not None:
                rows = self._labels.rows[~part.kept]
                out[~part.kept] = replace(head, temperature=at).predict_proba(self._features, rows)
        return out

    def _trained(self, part: _Part, C: float, start: LogisticTeacher | None) -> LogisticTeacher:
        """On one part, from where ``start`` ended; its own temperature is 1."""
        head, soft, y = self._head, part.soft, self._labels.y[part.kept]
        said = apply_temperature(soft.probabilities, part.temperature).astype(np.float32)
        # A class that only the answers name is known too; one that neither names is not.
        seen = np.union1d(y, soft.probabilities.argmax(axis=1)) if len(soft) else np.unique(y)
        hard = (y[:, None] == seen).astype(np.float32)
        said = said[:, seen]
        said /= np.maximum(said.sum(axis=1, keepdims=True), 1e-12)
        rows = np.concatenate([self._labels.rows[part.kept], soft.rows])
        Z = (widen(np.ascontiguousarray(self._features[rows])) - head.center) / head.scale
        begin = None
        if start is not None:
            begin = start.coef * head.scale, start.intercept + (start.coef * head.center).sum(axis=1)
        W, b = fit_soft_softmax(Z, np.concatenate([hard, said]), C, start=begin)
        coef = (W / head.scale).astype(np.float32)
        intercept = (b - (coef * head.center).sum(axis=1)).astype(np.float32)
        return replace(head, coef=coef, intercept=intercept, seen=seen.astype(np.int64), C=float(C), temperature=1.0)
