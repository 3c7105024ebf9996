"""Which labelled texts a fine-tuning run does not learn from: it stops by them, and is calibrated on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.evaluate import log_losses
from models.regularisation import MIN_EXPLORATION

IntArray = NDArray[np.int64]

SHARE, LEAST, MOST = 0.1, 20, 200
_LEFT = 2


def validation_rows(y: IntArray, exploration: NDArray[np.bool_], rng: np.random.Generator) -> IntArray:
    """A tenth of the rows, 20 to 200, ascending; none where that many cannot be spared.

    They are uniformly drawn ones where there are at least 30 of those: scores on actively chosen rows mislead. Each
    class keeps two rows to be learned from.

    Args:
        y: Classes, (n,).
        exploration: Which rows were drawn uniformly, (n,).
        rng: Draws them.
    """
    enough = int(exploration.sum()) >= MIN_EXPLORATION
    allowed = np.flatnonzero(exploration) if enough else np.arange(len(y))
    wanted = min(MOST, max(LEAST, round(SHARE * len(y))), 2 * len(allowed) // 3)
    left = np.bincount(y) if len(y) else np.zeros(0, np.int64)
    taken: list[int] = []
    for row in rng.permutation(allowed).tolist():
        if len(taken) < wanted and left[y[row]] > _LEFT:
            left[y[row]] -= 1
            taken.append(row)
    return np.sort(np.array(taken if len(taken) >= LEAST else [], np.int64))


def calibrated_loss(probabilities: NDArray[np.floating], y: IntArray) -> tuple[float, float]:
    """Mean log-loss at the temperature that makes it smallest, and that temperature.

    A run is judged as its answers will be used; without this a sharper epoch looks worse than it decides.
    """
    temperature = float(np.clip(fit_temperature(probabilities, y), 0.2, 5.0))
    return float(log_losses(y, apply_temperature(probabilities, temperature)).mean()), temperature
