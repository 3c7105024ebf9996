"""Parts of a round that need nothing of each other, side by side on the cores that there are.

NumPy, SciPy and torch let other threads run while they compute, so there is something to win where a core is free. What
comes out is the same to the bit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Generic, TypeVar

from sampler.threads import single_thread, usable_cores

T = TypeVar("T")


def side_by_side(works: Sequence[Callable[[], T]]) -> list[T]:
    """What each of ``works`` gives, in their order; raises what the first of them raised that did, once all ended."""
    workers = min(len(works), usable_cores())
    if workers <= 1:
        return [work() for work in works]
    with ThreadPoolExecutor(workers, thread_name_prefix="round") as pool:
        begun = [_begin(pool, work) for work in works]
    return [future.result() for future in begun]


class Ahead(Generic[T]):
    """Begins at once, in a thread, what is asked for later; on a single core it is done when it is asked for.

    Leaving it waits for the thread, so that nothing goes on behind who was interrupted.

    Attributes:
        seconds: What it took by the clock, once `result` was asked for.
        cpu: Seconds of the processor, of its own thread, then too.
        beside: Whether it goes on beside something else.
    """

    def __init__(self, work: Callable[[], T]):
        self._work = work
        self.seconds = self.cpu = self._began = 0.0
        self._clock: int | None = None
        self.beside = usable_cores() > 1
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="round") if self.beside else None
        self._future = _begin(self._pool, self._timed) if self._pool else None

    def result(self) -> T:
        """What it gives, or raises."""
        return self._future.result() if self._future else self._timed()

    def cpu_beside(self) -> float:
        """Seconds of the processor that its own thread has taken so far; 0 where it has none, or none that is told."""
        if not self.beside or self._clock is None:
            return 0.0
        return self.cpu or max(0.0, time.clock_gettime(self._clock) - self._began)

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def _timed(self) -> T:
        started, self._began = time.perf_counter(), time.thread_time()
        if hasattr(time, "pthread_getcpuclockid"):  # macOS has none
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
        try:
            return self._work()
        finally:
            self.seconds, self.cpu = time.perf_counter() - started, time.thread_time() - self._began


def _begin(pool: ThreadPoolExecutor, work: Callable[[], T]) -> Future[T]:
    """Start it with the caller's context (what its log lines bear), and with one thread for its sums, as the caller."""
    context = copy_context()

    def run() -> T:
        with single_thread():  # of OpenMP each thread has a setting of its own
            return work()

    return pool.submit(context.run, run)
