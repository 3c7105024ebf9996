"""The head that ranks, as a member of the teacher: the default that any other has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.cross_fit import cross_fit_softmax
from models.members import FloatArray, IntArray
from models.teachers import LogisticTeacher


@dataclass(frozen=True)
class HeadMember:
    """A fitted `LogisticTeacher` over ``features`` (n, d), the pool in the view that it was trained on.

    Attributes:
        head: The teacher; its predictions are passed on bit for bit.
        features: Possibly memory-mapped.
        rows: The labelled rows, (l,).
        y: Their classes, (l,).
    """

    head: LogisticTeacher
    features: Any
    rows: IntArray
    y: IntArray
    name: str = "logistic"

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`, with the C and the temperature that the head has chosen."""
        head = self.head
        Z = (np.asarray(self.features[self.rows], dtype=np.float32) - head.center) / head.scale
        return cross_fit_softmax(Z, self.y, folds, head.n_classes, head.C, head.temperature)

    def fit(self) -> None:
        """It is fitted."""

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """What the head says, (len(rows), n_classes)."""
        return self.head.predict_proba(self.features, rows)

    def of_items(self, features: Any, texts: Sequence[str]) -> FloatArray:
        """What the head says of any rows in its view, (n, d); it reads no texts."""
        return self.head.predict_proba(features)
