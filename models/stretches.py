"""A pass over many rows, shared among the cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

STRETCH_ROWS = 32_768
"""What a thread takes at a time: milliseconds of work, a whole number of every chunk that is read in one product."""


def in_stretches(work: Callable[[int, int], None], n: int, threads: int | None = None) -> None:
    """Call ``work(begin, end)`` for stretches of 0 … n - 1, several at once where there are several.

    The stretches are the same however many threads there are; NumPy lets others run while it computes.

    Args:
        work: Writes what it finds for its stretch where no other writes.
        n: How many rows there are.
        threads: At most so many at once; one for each core that the process may use where None.

    Raises:
        Exception: What ``work`` raised first.
    """
    starts = range(0, n, STRETCH_ROWS)
    workers = min(len(starts), _cores() if threads is None else threads)
    if workers <= 1:
        for start in starts:
            work(start, min(n, start + STRETCH_ROWS))
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="rows") as pool:
        for _ in pool.map(lambda start: work(start, min(n, start + STRETCH_ROWS)), starts):
            pass


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
