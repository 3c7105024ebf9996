"""How much of a teacher a member is to be: chosen on labels that neither it nor the head was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluate import log_losses

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST_TESTED = 20
"""Rows below which nothing is compared, and the head stays alone."""

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """What was chosen: the member's share of the teacher, 0 … 1, and what was found.

    Attributes:
        value: One of `SHARES`.
        head_loss: The head's log-loss on the tested rows; None where too few were tested.
        member_loss: The member's.
        loss: Of the two at this share.
        tested: How many rows were tested.
    """

    value: float
    head_loss: float | None = None
    member_loss: float | None = None
    loss: float | None = None
    tested: int = 0


def choose_share(y: IntArray, head: FloatArray, member: FloatArray) -> Share:
    """The smallest share of the member that is as good as the best one: within one standard error, paired by rows.

    The head alone wins ties (breiman1984).

    Args:
        y: Shape ``(n,)``: people's labels.
        head: Cross-fitted probabilities, shape ``(n, n_classes)``; rows of NaN were not tested.
        member: The same of the member.
    """
    tested = ~(np.isnan(head).any(axis=1) | np.isnan(member).any(axis=1))
    if tested.sum() < LEAST_TESTED:
        return Share(0.0, tested=int(tested.sum()))
    y, head, member = y[tested], head[tested], member[tested]
    losses = np.array([log_losses(y, (1 - share) * head + share * member) for share in SHARES])
    means = losses.mean(axis=1)
    excess = losses - losses[means.argmin()]
    near = excess.mean(axis=1) <= excess.std(axis=1, ddof=1) / np.sqrt(len(y))
    at = int(np.flatnonzero(near)[0])
    return Share(SHARES[at], float(means[0]), float(means[-1]), float(means[at]), len(y))


def mix(head: FloatArray, member: FloatArray, share: float) -> FloatArray:
    """Probabilities (n, n_classes) float32 of both together, the member's share 0 … 1."""
    own = np.float32(share)
    return np.asarray((1 - own) * head + own * member, np.float32)
