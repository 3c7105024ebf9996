"""Ranking pools from ten thousand rows to ten million, from disk: wall, CPU, memory, and how they grow.

``python -m bench.scale [--rows 10000 100000 1000000] [--strategies margin clustered_margin]``. Made-up float16 rows in
a memory-mapped file; 10,000,000 × 384 take 7.7 GB of disk and come only when they are asked for. A timing is the whole
of a ranking: predictions, scores, the first hundred. Each is taken in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.memory import anonymous_mb, give_back
from bench.rank_pool import make_pool, open_pool
from bench.rank_process import THREADS
from bench.report import as_text

ROWS = (10_000, 100_000, 1_000_000)
STRATEGIES = ("margin", "clustered_margin")
_LABEL_BYTES = 1 << 20
_WATCH_SECONDS = 0.002
_WARM_UP_ROWS = 300


def measure(
    sizes: Sequence[int],
    strategies: Sequence[str] = STRATEGIES,
    *,
    dim: int = 384,
    classes: int = 10,
    batch: int = 100,
    repeat: int = 3,
    threads: int = 1,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Medians of ``repeat`` runs for every size, and for each strategy the exponents of rows with which they grow.

    Memory is what is resident and no page of a file, at its peak over the runs less before: looked at every 2 ms from
    the process that waits, since the page cache holds the pool and must not count.

    Args:
        sizes: Rows of the pools.
        strategies: Which of ours.
        dim: Length of a row.
        classes: Classes.
        batch: How many rows are asked for.
        repeat: Runs of each.
        threads: Of BLAS, and of our predictions.
        folder: Where pools are written for a while; the system's place for such things where None.

    Raises:
        OSError: Too little space there; the message says how much it takes.
    """
    for name in THREADS:
        os.environ[name] = str(threads)
    found: list[dict[str, Any]] = []
    for rows in sizes:
        with tempfile.TemporaryDirectory(prefix="winnow-bench-", dir=folder) as place:
            needed = rows * dim * 2 + _LABEL_BYTES
            if shutil.disk_usage(place).free < needed:
                raise OSError(
                    f"{rows:,} × {dim} take {needed / 1e9:.1f} GB, and {place} has less: name another --folder"
                )
            make_pool(Path(place), rows, dim, classes)
            found += [
                {"strategy": name, "rows": rows} | _watched(Path(place), name, batch, repeat, threads)
                for name in strategies
            ]
    growth = [{"strategy": name} | _exponents([row for row in found if row["strategy"] == name]) for name in strategies]
    return {"dim": dim, "classes": classes, "batch": batch, "threads": threads, "pools": found, "growth": growth}


def exponent(rows: Sequence[float], values: Sequence[float]) -> float | None:
    """The slope of log(value) over log(rows) by least squares: 1 is linear; None for fewer than two sizes.

    >>> round(exponent([10, 100, 1000], [3.0, 300.0, 30_000.0]), 6)
    2.0
    """
    points = [(math.log(r), math.log(v)) for r, v in zip(rows, values, strict=True) if v > 0.0]
    if len({x for x, _ in points}) < 2:
        return None
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def _exponents(pools: list[dict[str, Any]]) -> dict[str, Any]:
    rows = [pool["rows"] for pool in pools]
    return {
        f"{what}_exponent": exponent(rows, [pool[what] for pool in pools]) for what in ("wall_ms", "cpu_ms", "extra_mb")
    }


def _watched(folder: Path, name: str, batch: int, repeat: int, threads: int) -> dict[str, Any]:
    """One strategy on the pool in ``folder``, in a process whose memory is watched from here."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_rank, args=(there, folder, name, batch, repeat, threads), daemon=True)
    process.start()
    there.close()
    try:
        before = peak = float(here.recv())
        here.send("begin")
        while not here.poll(_WATCH_SECONDS):
            peak = max(peak, anonymous_mb(process.pid or "self"))
        walls, cpus = here.recv()
    finally:
        process.join()
        here.close()
    return {
        "wall_ms": 1e3 * statistics.median(walls),
        "cpu_ms": 1e3 * statistics.median(cpus),
        "extra_mb": peak - before,
    }


def _rank(connection: Connection, folder: Path, name: str, batch: int, repeat: int, threads: int) -> None:
    from bench.rank_ours import Fitted

    pool = open_pool(folder)
    Fitted.on(pool.small(_WARM_UP_ROWS)).runs(name, min(batch, 100), threads).whole()
    run = Fitted.on(pool).runs(name, batch, threads, keep=False).whole
    give_back()
    connection.send(anonymous_mb())
    connection.recv()
    walls, cpus = [], []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    connection.send((walls, cpus))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES))
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the pools are written for a while")
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    result = measure(options.pop("rows"), options.pop("strategies"), **options)
    print(json.dumps(result) if as_json else as_text(result))


if __name__ == "__main__":
    main()
