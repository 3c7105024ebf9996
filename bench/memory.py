"""What a computation costs: wall, CPU and the memory that it takes beyond what was there (Linux)."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Medians over the runs in milliseconds; the peak of resident memory less what was resident before, in MB."""

    wall_ms: float
    cpu_ms: float
    extra_mb: float


def cost_of(run: Callable[[], object], *, repeat: int, limit: float) -> Cost:
    """Run once with the memory watched, then up to ``repeat`` times for the clock, as long as ``limit`` seconds allow.

    Where they allow no more than the one, it counts. The kernel's own peak is read, so nothing short-lived is missed;
    the allocator gives back before what earlier runs left it, so nothing is had for free. Pages of a mapped file count
    as they are touched: touch them before.
    """
    began = time.perf_counter()
    give_back()
    forget_peak()
    before = resident_mb()
    first = _timed(run)
    extra = max(0.0, peak_mb() - before)
    timed: list[tuple[float, float]] = []
    while len(timed) < repeat and time.perf_counter() - began + first[0] < limit:
        timed.append(_timed(run))
    walls, cpus = zip(*(timed or [first]), strict=True)
    return Cost(1e3 * statistics.median(walls), 1e3 * statistics.median(cpus), extra)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def give_back() -> None:
    """Return what the allocator keeps of freed memory (glibc)."""
    ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    """Let the kernel count the peak of resident memory from here on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """The most memory that was resident since."""
    return _status_mb("VmHWM")


def resident_mb() -> float:
    """What is resident now, mapped files included."""
    return _status_mb("VmRSS")


def anonymous_mb(process: int | str = "self") -> float:
    """What is resident now and is no page of a file, of a process by its number."""
    return _status_mb("RssAnon", process)


def _status_mb(field: str, process: int | str = "self") -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{field}:"))) / 1024
