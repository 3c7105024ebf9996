"""One thread for small matrices, where two mostly wait for each other, and several for long passes.

The models' layer has the same few lines for its own passes: neither of the two may import the other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

STRETCH_ROWS = 32_768
"""What a thread takes at a time in a pass over many rows."""


@cache
def _controller() -> Any:
    # scikit-learn first: libraries that are loaded later are not found, and looking for them is slow.
    import sklearn.cluster  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def single_thread() -> AbstractContextManager[Any]:
    """BLAS and OpenMP on one thread inside, which also makes sums, and so rankings, the same everywhere."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limited


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
    spans = [(begin, min(n, begin + STRETCH_ROWS)) for begin in range(0, n, STRETCH_ROWS)]
    workers = min(len(spans), usable_cores() if threads is None else threads)
    if workers <= 1:
        for span in spans:
            work(*span)
        return
    with ThreadPoolExecutor(workers, thread_name_prefix="rows") as pool:
        for _ in pool.map(lambda span: work(*span), spans):
            pass


def usable_cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
