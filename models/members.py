"""What a round's teacher may be made of: one protocol for heads, lexical models, prototypes and whatever comes."""

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
        """``logistic``, ``lexical``, ``prototypes``, ``sklearn:NAME``, …: what reports call it."""

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """Probabilities of each labelled row by a model that was not trained on its fold, (n_labelled, n_classes).

        Args:
            folds: Shape (n_labelled,), as `models.regularisation.deal_folds` gives them; rows of -1 are always trained
                on, and come back as NaN.
        """

    def fit(self) -> None:
        """Train on all labelled rows."""

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """Probabilities of rows of the pool, (len(rows), n_classes) float32; each sums to 1.

        Classes that the member knows nothing of get `models.regularisation.UNSEEN_PROBABILITY`: those without labels,
        unless it knows their names.
        """
