"""Long rankings from selectors that know one batch only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sampler.batch import blocks
from sampler.scores import IntArray

Select = Callable[[IntArray, int, int], IntArray]
"""``(left, n, turn)`` to at most ``n`` places in ``left``: a batch of what is left, the ``turn``-th."""

_MOST_TURNS = 12  # others' selectors are slow, and a round replaces the ranking after a batch or two


def positions_in_stretches(n: int, size: int, batch_size: int, select: Select) -> IntArray:
    """Positions in 0 … n - 1 in the order of batches, each chosen from what those before it left.

    How many a batch asks for does not depend on ``size``: so a short ranking is the start of a long one.

    Args:
        n: How many there are.
        size: How many are wanted.
        batch_size: How many are labelled between two rankings.
        select: Chooses a batch. What it names twice counts once.

    Returns:
        At most ``min(size, n)`` positions, none twice: fewer where the selector chose none or it took too many turns.

    >>> positions_in_stretches(6, 5, 2, lambda left, n, turn: np.arange(len(left))[::-1][:n]).tolist()
    [5, 4, 3, 2, 1]
    """
    left = np.arange(n)
    picked: list[int] = []
    grains = [grain for _, grain in blocks(4 * batch_size + 1, batch_size)]
    for turn in range(_MOST_TURNS):
        if len(picked) >= size or len(left) == 0:
            break
        wanted = min(grains[min(turn, len(grains) - 1)], len(left))
        places = np.asarray(select(left, wanted, turn), dtype=np.int64)
        _, first = np.unique(places, return_index=True)
        places = places[np.sort(first)][:wanted]
        if len(places) == 0:
            break
        picked.extend(left[places].tolist())
        left = np.delete(left, places)
    return np.array(picked[:size], dtype=np.int64)
