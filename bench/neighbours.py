"""Seconds, memory and recall of the search for nearest neighbours, and seconds of diffusion, by size of the pool.

``python -m bench.neighbours [--rows 10000 100000] [--dim 384] [--exact]``. Made-up float16 rows of length 1 in clumps.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.memory import forget_peak, peak_mb
from bench.report import as_text

_CLUMPS = 300
_DIRECTIONS = 16
_CHUNK_ROWS = 4_096


def clumps(rows: int, dim: int, seed: int = 0) -> NDArray[np.float16]:
    """Rows around 300 centres that differ in 16 directions, of the centre's own, and a little in all others."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((_CLUMPS, dim)).astype(np.float32)
    axes = rng.standard_normal((_CLUMPS, _DIRECTIONS, dim)).astype(np.float32)
    X = np.empty((rows, dim), dtype=np.float16)
    for start in range(0, rows, _CHUNK_ROWS):
        chunk = X[start : start + _CHUNK_ROWS]
        clump = rng.integers(_CLUMPS, size=len(chunk))
        along = rng.standard_normal((len(chunk), _DIRECTIONS)).astype(np.float32)
        points = centres[clump] + 0.6 * rng.standard_normal((len(chunk), dim)).astype(np.float32)
        for i, c in enumerate(clump):
            points[i] += 0.35 * (along[i] @ axes[c])
        chunk[:] = points / np.linalg.norm(points, axis=1, keepdims=True)
    return X


def measure(rows: int, dim: int, exact: bool) -> dict[str, Any]:
    """Find the ten nearest of ``rows`` made-up rows, check a sample, diffuse the rows; one BLAS thread, once."""
    from sampler.diffusion import diffuse
    from sampler.neighbours import EXACT_PAIRS, nearest_rows, recall
    from sampler.threads import single_thread

    X = clumps(rows, dim)
    everyone = np.arange(rows)
    pairs = rows * rows if exact else EXACT_PAIRS
    with single_thread():
        forget_peak()
        before, began, cpu = peak_mb(), time.perf_counter(), time.process_time()
        nearest = nearest_rows(X, everyone, everyone, exact_pairs=pairs)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        extra = peak_mb() - before
        found = recall(X, everyone, everyone, nearest.rows)
        began = time.perf_counter()
        diffuse(X, everyone).of_rows(everyone)
        diffusion_seconds = time.perf_counter() - began
    how = "exact" if rows * rows <= pairs else "cells"
    return {
        "rows": rows,
        "how": how,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "extra_mb": extra,
        "recall_at_10": found,
        "diffusion_seconds": diffusion_seconds,
    }


def main() -> None:
    """Each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--exact", action="store_true", help="compare all pairs whatever the size")
    options = parser.parse_args()
    found = []
    for rows in options.rows:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(measure, (rows, options.dim, options.exact)))
    print(as_text({"dim": options.dim, "threads": 1, "pools": found}))


if __name__ == "__main__":
    main()
