"""The linear head behind a model's probabilities, for rows that the model was not asked about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sampler.diversity import Points
from sampler.errors import InvalidInput
from sampler.scores import FloatArray

_LEAST = 1e-12  # probabilities below it say no more than it does
_RIDGE = 1e-7  # of the mean square of a column: enough for fewer rows than columns, too little to bend anything


@dataclass(frozen=True)
class LinearHead:
    """A softmax over linear scores.

    Attributes:
        coef: Shape ``(n_classes, d)``.
        intercept: Shape ``(n_classes,)``.
    """

    coef: NDArray[np.float32]
    intercept: NDArray[np.float32]

    def probabilities(self, points: Points) -> NDArray[np.float32]:
        """Shape ``(n, n_classes)`` for points of shape ``(n, d)``; rows add up to one."""
        logits: NDArray[np.float32] = points @ self.coef.T + self.intercept
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits


def recover_head(points: Points, probabilities: FloatArray) -> LinearHead:
    """The head whose softmax gives these probabilities, by least squares on their logarithms.

    Exact where a softmax over linear scores made them and there are as many rows as columns that differ; else the
    linear model that comes nearest.

    Args:
        points: Shape ``(n, d)``, n ≥ 1.
        probabilities: Shape ``(n, n_classes)``.

    Raises:
        InvalidInput: No rows, or shapes that differ.
    """
    n, d = points.shape
    if n < 1 or len(probabilities) != n:
        raise InvalidInput("probabilities", f"{len(probabilities)} rows do not go with {n} points")
    logs = np.log(np.maximum(probabilities, _LEAST, dtype=np.float64))
    logs -= logs.mean(axis=1, keepdims=True)
    center, shift = points.mean(axis=0, dtype=np.float64), logs.mean(axis=0)
    X = points - center
    gram = X.T @ X
    gram[np.diag_indices(d)] += _RIDGE * max(float(np.trace(gram)) / d, 1e-12) + 1e-12
    coef = np.linalg.solve(gram, X.T @ (logs - shift)).T
    return LinearHead(coef.astype(np.float32), (shift - coef @ center).astype(np.float32))
