"""Passes over many rows, on one thread and on several."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sampler.threads import STRETCH_ROWS, in_stretches


@pytest.mark.parametrize("threads", [1, 2, None])
@pytest.mark.parametrize("n", [0, 5, STRETCH_ROWS, 3 * STRETCH_ROWS + 1])
def test_every_row_is_in_one_stretch_and_stretches_do_not_hang_on_threads(n: int, threads: int | None) -> None:
    seen, stretches = np.zeros(n, dtype=int), []

    def work(begin: int, end: int) -> None:
        seen[begin:end] += 1
        stretches.append((begin, end))

    in_stretches(work, n, threads)
    assert (seen == 1).all()
    assert sorted(stretches) == [(s, min(n, s + STRETCH_ROWS)) for s in range(0, n, STRETCH_ROWS)]


def test_two_threads_are_at_work_at_once() -> None:
    both = threading.Barrier(2, timeout=30)
    in_stretches(lambda begin, end: both.wait(), 2 * STRETCH_ROWS, 2)
    assert not both.broken
