"""Small sets that need no download, unlike the real ones and each other: scikit-learn's own, and made ones.

Each made set stresses one property that a default strategy might stumble over; a seed gives the same set each time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.real_features import RealSet

Rows = NDArray[np.float64]
Classes = NDArray[np.int64]
_N_TEST = 1_000
"""Test rows of a made set: with fewer, the luck of the test set hides what is looked for."""


def made_set(name: str, draw: int = 0) -> RealSet:
    """One of `MADE`: a pool and a test set, float32.

    Args:
        name: Which.
        draw: Another number gives another split, and other rows of a made set.
    """
    return MADE[name](np.random.default_rng([draw, *name.encode()]))


def _packaged(name: str, n_test: int) -> Callable[[np.random.Generator], RealSet]:
    def make(rng: np.random.Generator) -> RealSet:
        from sklearn import datasets

        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return _split(X, y, n_test, rng)

    return make


def _split(X: Rows, y: Classes, n_test: int, rng: np.random.Generator) -> RealSet:
    order = rng.permutation(len(y))
    test, pool = order[:n_test], order[n_test:]
    X, y = X.astype(np.float32), y.astype(np.int64)
    return RealSet(X[pool], y[pool], X[test], y[test])


def _blobs(rng: np.random.Generator, y: Classes, d: int, apart: float) -> Rows:
    """A Gaussian cloud for each class, of deviation 1, around centres that lie about ``apart`` from each other."""
    centers = rng.normal(scale=apart / np.sqrt(2 * d), size=(int(y.max()) + 1, d))
    noise: Rows = rng.normal(size=(len(y), d))
    return centers[y] + noise


def _long_tail(rng: np.random.Generator) -> RealSet:
    odds = 50.0 ** (-np.arange(30) / 29)
    y = rng.choice(30, 4_000 + _N_TEST, p=odds / odds.sum())
    return _split(_blobs(rng, y, 32, 5.0), y, _N_TEST, rng)


def _many_classes(rng: np.random.Generator) -> RealSet:
    y = np.arange(1_200 + _N_TEST) % 100
    return _split(_blobs(rng, y, 48, 6.0), y, _N_TEST, rng)


def _noise_columns(rng: np.random.Generator) -> RealSet:
    y = np.arange(2_000 + _N_TEST) % 4
    X = np.hstack([_blobs(rng, y, 5, 4.0), rng.normal(size=(len(y), 195))])
    return _split(X, y, _N_TEST, rng)


def _linear_rule(rng: np.random.Generator) -> RealSet:
    X = rng.normal(size=(2_000 + _N_TEST, 20))
    return _split(X, (X @ rng.normal(size=20) > 0).astype(np.int64), _N_TEST, rng)


def _clusters(rng: np.random.Generator) -> RealSet:
    cluster = np.arange(2_000 + _N_TEST) % 24
    return _split(_blobs(rng, cluster, 10, 7.0), cluster % 3, _N_TEST, rng)


def _rings(rng: np.random.Generator) -> RealSet:
    y, angle = np.arange(1_500 + _N_TEST) % 3, rng.uniform(0, 2 * np.pi, 1_500 + _N_TEST)
    X = (1.0 + y)[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    return _split(X + rng.normal(scale=0.2, size=X.shape), y, _N_TEST, rng)


def _roll(rng: np.random.Generator) -> RealSet:
    turn = 1.5 * np.pi * (1 + 2 * rng.random(2_000 + _N_TEST))
    X = np.column_stack([turn * np.cos(turn), 21 * rng.random(len(turn)), turn * np.sin(turn)])
    y = np.minimum((turn / (1.5 * np.pi) - 1) * 3, 5).astype(np.int64)
    return _split(X + rng.normal(scale=0.4, size=X.shape), y, _N_TEST, rng)


def _tiny(rng: np.random.Generator) -> RealSet:
    y = np.arange(150 + _N_TEST) % 4
    return _split(_blobs(rng, y, 20, 4.0), y, _N_TEST, rng)


def _outliers(rng: np.random.Generator) -> RealSet:
    y = np.arange(2_000 + _N_TEST) % 5
    X = _blobs(rng, y, 16, 4.5)
    far = rng.random(len(y)) < 0.15
    X[far] += rng.standard_t(1.5, size=(int(far.sum()), 16)) * 6.0
    y[far] = rng.integers(5, size=int(far.sum()))
    return _split(X, y, _N_TEST, rng)


def _duplicates(rng: np.random.Generator) -> RealSet:
    y = rng.integers(5, size=500 + _N_TEST)
    made = _split(_blobs(rng, y, 16, 4.0), y, _N_TEST, rng)
    often = np.minimum(rng.zipf(1.6, len(made.y)), 100)
    rows = np.repeat(np.arange(len(made.y)), often)
    return RealSet(made.X[rows], made.y[rows], made.test_features, made.test_y)


def _overlap(rng: np.random.Generator) -> RealSet:
    y = np.arange(2_000 + _N_TEST) % 3
    return _split(_blobs(rng, y, 10, 1.5), y, _N_TEST, rng)


def _rare(rng: np.random.Generator) -> RealSet:
    y = (rng.random(5_000 + 4 * _N_TEST) < 0.01).astype(np.int64)
    return _split(_blobs(rng, y, 16, 4.0), y, 4 * _N_TEST, rng)


def _wide(rng: np.random.Generator) -> RealSet:
    y = np.arange(300 + _N_TEST) % 5
    return _split(_blobs(rng, y, 1_024, 10.0), y, _N_TEST, rng)


def _units(rng: np.random.Generator) -> RealSet:
    y = np.arange(1_500 + _N_TEST) % 4
    X = _blobs(rng, y, 24, 4.0)
    return _split((X + rng.normal(scale=3.0, size=24)) * 10.0 ** rng.uniform(-4, 4, 24), y, _N_TEST, rng)


def _counts(rng: np.random.Generator) -> RealSet:
    y = np.arange(2_000 + _N_TEST) % 8
    words = rng.gamma(0.3, size=400)
    topics = words * rng.gamma(1.0, size=(8, 400))
    length = rng.lognormal(3.0, 0.6, len(y))
    return _split(rng.poisson(length[:, None] * topics[y] / topics.sum(axis=1)[y, None]).astype(float), y, _N_TEST, rng)


def _flags(rng: np.random.Generator) -> RealSet:
    X = (rng.random((2_000 + _N_TEST, 12)) < rng.uniform(0.1, 0.9, 12)).astype(np.float64)
    odds = 1 / (1 + np.exp(-3.0 * (X - X.mean(axis=0)) @ rng.normal(size=12)))
    return _split(X, (rng.random(len(X)) < odds).astype(np.int64), _N_TEST, rng)


def _large(rng: np.random.Generator) -> RealSet:
    y = np.arange(30_000 + 2 * _N_TEST) % 10
    return _split(_blobs(rng, y, 32, 3.5), y, 2 * _N_TEST, rng)


MADE: dict[str, Callable[[np.random.Generator], RealSet]] = {
    "digits": _packaged("digits", 500),
    "wine": _packaged("wine", 60),
    "breast_cancer": _packaged("breast_cancer", 200),
    "iris": _packaged("iris", 50),
    "long_tail": _long_tail,
    "many_classes": _many_classes,
    "noise_columns": _noise_columns,
    "linear_rule": _linear_rule,
    "clusters": _clusters,
    "rings": _rings,
    "roll": _roll,
    "tiny": _tiny,
    "outliers": _outliers,
    "duplicates": _duplicates,
    "overlap": _overlap,
    "rare": _rare,
    "wide": _wide,
    "units": _units,
    "counts": _counts,
    "flags": _flags,
    "large": _large,
}
STRESSES = {
    "digits": "images as pixels, 10 classes, 1,297 rows",
    "wine": "3 classes, 118 rows of 13 columns in their own units",
    "breast_cancer": "2 classes, 369 rows of 30 columns in their own units",
    "iris": "3 classes, 100 rows of 4 columns",
    "long_tail": "30 classes, the first fifty times the last",
    "many_classes": "100 classes of 12 rows",
    "noise_columns": "195 of 200 columns say nothing: neighbours share no labels",
    "linear_rule": "a plane through a single cloud: nothing to cluster",
    "clusters": "24 clusters of 3 classes: no line parts them",
    "rings": "3 rings in a plane: no line parts them",
    "roll": "6 stretches of a rolled-up sheet",
    "tiny": "4 classes, 150 rows",
    "outliers": "every seventh row far away, its class at random",
    "duplicates": "500 different rows, some there a hundred times",
    "overlap": "3 classes that overlap: the best rule is right on two thirds",
    "rare": "2 classes, one of them 1 %",
    "wide": "300 rows of 1,024 columns",
    "units": "units from 1e-4 to 1e4",
    "counts": "rows of small counts, most of them 0, of many lengths",
    "flags": "12 columns of 0 and 1, noisy labels: many rows are alike",
    "large": "30,000 rows: more than the graph is made of",
}
"""What each is, as the page says it."""
