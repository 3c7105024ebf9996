"""From scores to an order: top k with seeded ties, and the blocks in which a long ranking is built."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.scores import FloatArray, IntArray

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)  # splitmix64 (Steele et al. 2014)
_CHUNK_ROWS = 65_536
_LOOKED_AT = 65_536


def tie_keys(rows: IntArray, seed: int) -> NDArray[np.uint64]:
    """A pseudo-random key for each row: a hash of its number and the seed.

    Bound to the row, not to its place in the array, so that handing candidates in another order changes nothing, and
    that a long ranking starts with the short one.

    Args:
        rows: Shape ``(n,)``.
        seed: Any integer.

    Returns:
        Shape ``(n,)``, uint64.
    """
    golden, first, second = (np.uint64(m) for m in _MULTIPLIERS)
    keys = rows.astype(np.uint64)
    with np.errstate(over="ignore"):  # wrapping is what the hash is made of
        start = np.uint64(seed % (1 << 64)) * second
        for begin in range(0, len(keys), _CHUNK_ROWS):  # in place and within the cache: pools have millions of rows
            x = keys[begin : begin + _CHUNK_ROWS]
            x *= golden
            x += start
            x ^= x >> np.uint64(30)
            x *= first
            x ^= x >> np.uint64(27)
            x *= second
            x ^= x >> np.uint64(31)
    return keys


def best_first(scores: FloatArray, rows: IntArray, k: int, seed: int) -> IntArray:
    """Positions of the ``k`` highest scores, the best first; ties in an order that only the seed and the rows decide.

    Args:
        scores: Shape ``(n,)``, finite, higher = sooner.
        rows: Shape ``(n,)``: the row that each score belongs to.
        k: How many; all of them where there are fewer.
        seed: Decides ties.

    Returns:
        Positions into ``scores``, shape ``(min(k, n),)``.

    Raises:
        InvalidInput: Shapes differ, or a score is NaN or infinite.

    >>> best_first(np.array([0.1, 0.9, 0.5]), np.array([10, 11, 12]), 2, seed=0).tolist()
    [1, 2]
    """
    if scores.shape != rows.shape or scores.ndim != 1:
        raise InvalidInput("scores", f"shape {scores.shape} does not go with {rows.shape[0]} rows")
    if not np.isfinite(scores).all():
        raise InvalidInput("scores", "NaN or infinity cannot be ranked")
    n = len(scores)
    k = max(0, min(k, n))
    if k == 0:
        return np.empty(0, dtype=np.int64)
    kept = _not_below(scores, k) if k < n else np.arange(n)
    order = np.lexsort((tie_keys(rows[kept], seed), -scores[kept]))
    return kept[order[:k]].astype(np.int64)


def _kth(scores: FloatArray, k: int) -> float:
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _not_below(scores: FloatArray, k: int) -> IntArray:
    """Positions of the ``k`` highest scores and all that tie with the last: keys decide among those, no partition."""
    step = len(scores) // max(_LOOKED_AT, 4 * k)
    if step <= 1:
        return np.flatnonzero(scores >= _kth(scores, k))
    # The k-th of a part is no higher than that of all: most fall away before the rest is partitioned.
    kept = np.flatnonzero(scores >= _kth(scores[::step], k))
    left = scores[kept]
    return kept[left >= _kth(left, k)]


def blocks(size: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """The stretches in which a ranking of ``size`` is built: one batch, one more, two, and the rest.

    The first batches are what people label before the next round replaces the ranking, so each gets a clustering of
    its own; the rest is a reserve and shares one. Each stretch comes with the grain at which to cluster for it, which
    does not depend on ``size``: so a long ranking starts with the short one. A stretch may reach beyond ``size``: cut
    it there.

    Yields:
        How many to pick, and for how many picks to cluster.

    >>> list(blocks(100, 10))
    [(10, 10), (10, 10), (20, 20), (60, 40)]
    """
    done = 0
    for grain in (batch_size, batch_size, 2 * batch_size):
        if done >= size:
            return
        yield grain, grain
        done += grain
    if done < size:
        yield size - done, 4 * batch_size
