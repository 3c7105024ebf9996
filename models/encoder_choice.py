"""Which of several encoders serves a project's labels best, by cross-validation of a linear head on each one's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.regularisation import deal_folds, tested_losses
from models.teachers import column_scaling

LEAST_GAIN = 0.02
"""What is better by a smaller share of the log-loss does not pay for encoding a pool anew."""
FIRST_MARGIN, LATER_MARGIN = 1.0, 2.0
"""Standard errors, paired by rows (breiman1984), by which another encoder must be better: later by more than the first
time, since each change costs the pool's encoding, and two that are nearly equal would otherwise go back and forth."""

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class EncoderChoice:
    """The encoder that was taken, and what was found of each.

    Attributes:
        encoder: Its name.
        losses: Log-loss of labels that the head was not trained on, by encoder.
        tested: How many labels those are.
        labels: How many labels the project had.
        why: In words.
        present: The encoder that the project had.
        gain: By how much the best other one's log-loss is below the present one's; negative where it is above.
        needed: By how much it had to be below for the other one to be taken.
    """

    encoder: str
    losses: Mapping[str, float]
    tested: int
    labels: int
    why: str
    present: str
    gain: float
    needed: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def choose_encoder(
    features: Mapping[str, FloatArray],
    y: IntArray,
    exploration: NDArray[np.bool_],
    *,
    present: str,
    margin: float,
    labels: int,
    rng: np.random.Generator,
) -> EncoderChoice:
    """The encoder of the least cross-validated log-loss; the present one unless another is clearly better.

    Args:
        features: The same labelled rows by each encoder, (n, its dimensions).
        y: Their classes, (n,), at least two of them.
        exploration: Which were drawn uniformly, (n,): from 30 on only they are tested on.
        present: The encoder that the project has.
        margin: Standard errors of the paired difference by which another must be better, beside 2 % of the loss.
        labels: How many the project has, for the record.
        rng: Deals the folds; the same for all.
    """
    _, targets = np.unique(y, return_inverse=True)
    folds = deal_folds(targets, exploration, rng)
    rows = {}
    for name, found in features.items():
        center, scale = column_scaling(found)
        rows[name] = tested_losses(((found - center) / scale).astype(np.float32), targets, folds)
    # A wide encoder may have been tested on fewer folds, the first of them.
    tested = min(map(len, rows.values()))
    losses = {name: float(row[:tested].mean()) for name, row in rows.items()}
    other = min(losses.keys() - {present}, key=losses.__getitem__)
    gains = rows[present][:tested] - rows[other][:tested]
    gain, error = float(gains.mean()), float(gains.std(ddof=1) / np.sqrt(tested))
    needed = max(margin * error, LEAST_GAIN * losses[other])
    taken = other if gain > needed else present
    best = other if losses[other] < losses[present] else present
    beside = ", ".join(f"{loss:.3f} with {name}" for name, loss in losses.items() if name != taken)
    found_words = f"cross-validated log-loss over {tested} labels is {losses[taken]:.3f} with it and {beside}"
    why = f"{found_words} (less is better)" if taken == best else f"{found_words}, which is not clearly better"
    return EncoderChoice(
        encoder=taken,
        losses={name: round(loss, 4) for name, loss in losses.items()},
        tested=tested,
        labels=labels,
        why=why,
        present=present,
        gain=round(gain, 4),
        needed=round(needed, 4),
    )
