"""What strategies lose by looking at a part of a large pool instead of all of it.

``python -m bench.candidates [--strategies coreset herding …] [--seeds 3]``. Each ranks the same made-up clumps twice,
on its part and on all, and what it is after is measured over the whole pool, for random picks too. ``lost`` is the
share of the gain over random that the part costs: 0 is nothing, 1 is as good as random; none where all gains nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from bench.neighbours import clumps
from bench.report import as_text
from models.teachers import LogisticTeacher
from sampler.coverage import gaussian
from sampler.diversity import gather, nearest_distances
from sampler.gradients import Gradients, residuals, square_gradient_distances
from sampler.query import QueryContext
from sampler.scores import margin_scores
from sampler.strategies import get_strategy
from sampler.strategies.i_optimal import RIDGE, fisher_weights
from sampler.strategies.spread import sample

_BATCH = 100
_LABELED = 200
_CLASSES = 10
_DIM = 64
_EVERYTHING = 1 << 40
_EVERYTHINGS: dict[str, Any] = {
    "sample": partial(sample, limit=_EVERYTHING),
    "diverse_rows": lambda size: _EVERYTHING,
}

Goal = Callable[["_Pool", NDArray[np.int64]], float]


@dataclass(frozen=True)
class _Pool:
    """Points ``(n, d)``, which are labelled, which are not, and what the model thinks of these."""

    X: NDArray[np.float16]
    points: NDArray[np.float32]
    labeled: NDArray[np.int64]
    y: NDArray[np.int64]
    candidates: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @classmethod
    def made(cls, rows: int, seed: int) -> _Pool:
        X = clumps(rows, _DIM, seed)
        rng = np.random.default_rng(seed)
        points = gather(X, np.arange(rows))
        classes = nearest_class(points, rng)
        labeled = np.sort(rng.choice(rows, _LABELED, replace=False))
        free = np.setdiff1d(np.arange(rows), labeled)
        teacher = LogisticTeacher.fit(X[labeled], classes[labeled], _CLASSES, rng=rng, C=10.0, pool=X)
        return cls(X, points, labeled, classes[labeled], free, teacher.predict_proba(X, free))

    def picks(self, name: str, seed: int) -> NDArray[np.int64]:
        context = QueryContext(
            features=self.X,
            candidates=self.candidates,
            labeled=self.labeled,
            y=self.y,
            n_classes=_CLASSES,
            rng=np.random.default_rng(seed),
            probabilities=self.probabilities,
            batch_size=_BATCH,
        )
        return get_strategy(name).rank(context, _BATCH).rows

    def square_distances(self, picks: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of each candidate to the nearest row that is labelled or picked."""
        return nearest_distances(self.points[self.candidates], self.points[np.concatenate([self.labeled, picks])])


def nearest_class(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """A class for each point: that of the nearest of a few points drawn for each class, so that classes have parts."""
    drawn = rng.choice(len(points), 4 * _CLASSES, replace=False)
    return np.asarray((points @ points[drawn].T).argmax(axis=1) % _CLASSES, dtype=np.int64)


def _radius(pool: _Pool, picks: NDArray[np.int64]) -> float:
    return -float(np.sqrt(pool.square_distances(picks).max()))


def _mean_distance(pool: _Pool, picks: NDArray[np.int64]) -> float:
    return -float(np.sqrt(pool.square_distances(picks)).mean())


def _coverage(pool: _Pool, picks: NDArray[np.int64], *, weighted: bool = False) -> float:
    weights = margin_scores(pool.probabilities) if weighted else np.ones(len(pool.candidates))
    some = pool.points[pool.candidates[:: max(1, len(pool.candidates) // 256)]]
    width = float(np.sqrt(np.median(-2.0 * (some @ some.T) + 2.0)))  # rows have length 1
    return float(np.average(gaussian(pool.square_distances(picks), width), weights=weights))


def _spread(pool: _Pool, picks: NDArray[np.int64]) -> float:
    """How far each picked gradient lies from the nearest other one: long ones that differ are what BADGE draws."""
    places = np.searchsorted(pool.candidates, picks)
    gradients = Gradients(residuals(pool.probabilities[places]), pool.points[picks])
    square = square_gradient_distances(gradients, gradients)
    np.fill_diagonal(square, np.inf)
    return float(np.sqrt(square.min(axis=1)).mean())


def _variance(pool: _Pool, picks: NDArray[np.int64]) -> float:
    """Of predictions over the pool, as `i_optimal` models it; labelled rows count with the weight of a doubtful one."""
    weights = fisher_weights(pool.probabilities)
    places = np.searchsorted(pool.candidates, picks)
    free, x, labeled = pool.points[pool.candidates], pool.points[picks], pool.points[pool.labeled]
    known = RIDGE * np.eye(_DIM) + float(weights.mean()) * (labeled.T @ labeled)
    known += (x * weights[places, None]).T @ x
    return -float(np.trace(np.linalg.solve(known, (free * weights[:, None]).T @ free)))


_MODULES = "sampler.strategies."
#: The strategy, what is to be changed so that it looks at everything, rows of the pool, its aim over the pool.
STRATEGIES: dict[str, tuple[str, int, Goal]] = {
    "coreset": ("coreset.diverse_rows", 60_000, _radius),
    "typiclust": ("typiclust.sample", 60_000, _mean_distance),
    "ranked_batch": ("ranked_batch.sample", 60_000, _mean_distance),
    "herding": ("herding.COVER_ROWS", 16_384, _coverage),
    "uncertainty_herding": ("uncertainty_herding.COVER_ROWS", 16_384, partial(_coverage, weighted=True)),
    "badge": ("badge.SAMPLE_ROWS", 100_000, _spread),
    "i_optimal": ("i_optimal.CANDIDATES", 60_000, _variance),
}


def measure(name: str, seeds: int, rows: int | None = None) -> dict[str, Any]:
    """Means over ``seeds`` pools of what the strategy is after: by its part of the pool, by all, by random picks."""
    limit, usual, goal = STRATEGIES[name]
    everything = _EVERYTHINGS.get(limit.partition(".")[2], _EVERYTHING)
    found = []
    for seed in range(seeds):
        pool = _Pool.made(rows or usual, seed)
        part = goal(pool, pool.picks(name, seed))
        with patch(_MODULES + limit, everything):
            exact = goal(pool, pool.picks(name, seed))
        found.append((part, exact, goal(pool, pool.picks("random", seed))))
    part, exact, chance = np.mean(found, axis=0)
    aim = goal.func.__name__ if isinstance(goal, partial) else goal.__name__
    return {
        "strategy": name,
        "rows": rows or usual,
        "aim": aim.strip("_").replace("_", " "),
        "part": float(part),
        "all": float(exact),
        "random": float(chance),
        "lost": float((exact - part) / (exact - chance)) if exact > chance else None,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.candidates", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    names: Sequence[str] = options.strategies
    print(as_text({"batch": _BATCH, "seeds": options.seeds, "strategies": [measure(n, options.seeds) for n in names]}))


if __name__ == "__main__":
    main()
