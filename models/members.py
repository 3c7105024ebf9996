"""What a round's teacher may be made of."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


class TeacherMember(Protocol):
    """One of the models that a round's teacher may be made of."""

    @property
    def name(self) -> str:
        """As a project's settings and a round's metrics name it."""

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """Probabilities of each labelled row by a model that was not trained on its fold.

        Args:
            folds: Shape ``(n_labelled,)``, as `models.regularisation.deal_folds` gives them; -1 is never tested.

        Returns:
            Shape ``(n_labelled, n_classes)``; NaN in the rows whose fold is -1.
        """

    def fit(self) -> None:
        """Train on all labelled rows."""

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Probabilities for rows of the pool, ``(len(rows), n_classes)`` float32; each row sums to 1.

        Classes that were never seen are at `models.regularisation.UNSEEN_PROBABILITY`.
        """
