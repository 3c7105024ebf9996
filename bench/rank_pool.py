"""A made-up pool on disk for the benchmarks of ranking: float16 rows around one centre a class, a few labelled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_CHUNK_ROWS = 8_192
_LABELED, _LABELED_A_CLASS = 200, 3
_NOISE = 2.0  # of a centre's own spread: neighbouring classes overlap, as they do in a pool that is worth labelling


@dataclass(frozen=True)
class RankPool:
    """Features ``(n, d)``, perhaps memory-mapped; which rows are labelled, with which of the classes; all others."""

    X: NDArray[np.float16]
    labeled: NDArray[np.int64]
    y: NDArray[np.int64]
    candidates: NDArray[np.int64]
    n_classes: int

    def small(self, n: int) -> RankPool:
        """The labelled rows and the first ``n`` candidates, in memory: to load and warm up what a ranking needs."""
        few = self.candidates[:n]
        X = np.concatenate([self.X[few], self.X[self.labeled]])
        return RankPool(X, np.arange(len(few), len(X)), self.y, np.arange(len(few)), self.n_classes)


def make_pool(folder: Path, rows: int, dim: int, classes: int, seed: int = 0) -> None:
    """Write the files that `open_pool` reads; a stretch at a time, so that memory does not grow with the rows."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dim), dtype=np.float32)
    labeled = np.sort(rng.choice(rows, min(rows // 2, max(_LABELED, _LABELED_A_CLASS * classes)), replace=False))
    classes_of = np.concatenate([np.arange(classes), rng.integers(classes, size=max(0, len(labeled) - classes))])
    y = rng.permutation(classes_of)[: len(labeled)]
    X = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float16, (rows, dim))
    for start in range(0, rows, _CHUNK_ROWS):
        stop = min(rows, start + _CHUNK_ROWS)
        own = rng.integers(classes, size=stop - start)
        here = slice(*np.searchsorted(labeled, [start, stop]))
        own[labeled[here] - start] = y[here]
        points = centres[own] + np.float32(_NOISE) * rng.standard_normal((stop - start, dim), dtype=np.float32)
        X[start:stop] = points / np.linalg.norm(points, axis=1, keepdims=True)
    X.flush()
    np.savez(folder / "labels.npz", labeled=labeled, y=y, n_classes=classes)


def open_pool(folder: Path) -> RankPool:
    """The pool in ``folder``, its features memory-mapped."""
    X = np.load(folder / "features.npy", mmap_mode="r")
    with np.load(folder / "labels.npz") as kept:
        labeled, y, n_classes = kept["labeled"], kept["y"], int(kept["n_classes"])
    free = np.ones(len(X), dtype=bool)
    free[labeled] = False
    return RankPool(X, labeled, y, np.flatnonzero(free), n_classes)


def touch(X: NDArray[np.float16]) -> None:
    """Read all of a mapped file once, so that its pages are there and count as the pool's."""
    for start in range(0, len(X), _CHUNK_ROWS):
        X[start : start + _CHUNK_ROWS].view(np.int16).max()
