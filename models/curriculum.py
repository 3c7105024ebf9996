"""In which order a student meets what it learns from: shuffled, from easy to hard, hard first, or at its own pace.

Every order makes the same number of steps over as many rows, so that their students cost the same and can be compared.
None of them beat the shuffled one on real sets (docs/distillation.md), which is therefore the default.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput
from models.students.protocol import FloatArray, IntArray

CURRICULA = ("shuffled", "easy_to_hard", "hard_first", "self_paced")
_FIRST_SHARE = 0.25
"""The share of the rows that training begins with."""
WHOLE_FROM = 0.6
"""From this share of the training on all rows are met."""


def make_curriculum(name: str) -> str:
    """The name, checked; raises BadInput for one that there is not."""
    if name not in CURRICULA:
        raise BadInput(f"There is no curriculum {name!r}; use one of: {', '.join(CURRICULA)}.")
    return name


def entropies(target: FloatArray) -> FloatArray:
    """How undecided the targets (n, C) are, in nats, (n,): what easy and hard mean before there is a student.

    >>> entropies(np.float32([[1, 0], [0.5, 0.5]])).round(3).tolist()
    [0.0, 0.6930000185966492]
    """
    hardness: FloatArray = (target * -np.log(np.maximum(target, 1e-12))).sum(axis=1)
    return hardness


def epoch_order(name: str, rows: IntArray, hardness: FloatArray, done: float, rng: np.random.Generator) -> IntArray:
    """The rows of the next pass, in the order in which they are met, as many as there are ``rows``.

    ``easy_to_hard`` and ``self_paced`` (kumar2010) begin with the easiest quarter, ``hard_first`` with the hardest, and
    let in more as √ of the time (platanios2019), until all are in after three fifths of the training; those that are in
    are met several times meanwhile. ``self_paced`` differs in whose hardness it is: the student's own loss of now.

    Args:
        name: One of `CURRICULA`.
        rows: What may be met, (n,).
        hardness: Of each of them, (n,); looked at by all but ``shuffled``.
        done: The share of the training that is over, 0 … 1.
        rng: Shuffles.
    """
    if name == "shuffled":
        return rng.permutation(rows)
    time = min(1.0, done / WHOLE_FROM)
    share = math.sqrt(_FIRST_SHARE**2 + (1 - _FIRST_SHARE**2) * time)
    n_met = max(1, math.ceil(share * len(rows)))
    if n_met >= len(rows):
        return rng.permutation(rows)
    order = np.argsort(-hardness if name == "hard_first" else hardness, kind="stable")
    met: NDArray[np.int64] = rows[order[:n_met]]
    passes = [rng.permutation(met) for _ in range(-(-len(rows) // n_met))]
    return np.concatenate(passes)[: len(rows)]
