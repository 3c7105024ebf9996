"""Milliseconds of each query strategy on made-up features, prediction included, beside modAL on the same rows."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_LABELLED = 200


def measure(rows: int, dim: int, classes: int, batch: int, repeat: int) -> dict[str, Any]:
    """Rank ``batch`` of ``rows`` × ``dim`` features by every strategy; the best of ``repeat`` runs, one BLAS thread."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from models.teachers import LogisticTeacher
    from sampler.query import QueryContext
    from sampler.strategies import get_strategy, strategy_names

    rng = np.random.default_rng(0)
    X, y = _clusters(rows, dim, classes, rng)
    labelled = rng.permutation(rows)[:N_LABELLED]
    candidates = np.setdiff1d(np.arange(rows), labelled)
    teacher = LogisticTeacher.fit(X[labelled], y[labelled], classes, rng=rng, C=1.0)

    def rank(name: str) -> None:
        probabilities = teacher.predict_proba(X[candidates]).astype(np.float64)
        context = QueryContext(
            X, candidates, labelled, y[labelled], classes, np.random.default_rng(1), probabilities=probabilities
        )
        get_strategy(name).rank(context, batch)

    runs: dict[str, Callable[[], object]] = {"predict_proba alone": lambda: teacher.predict_proba(X[candidates])}
    runs |= {name: partial(rank, name) for name in strategy_names()}
    runs["modAL margin (peer)"] = _modal_margin(X, y, labelled, candidates, batch)
    found = [{"strategy": name, "ms": _best(run, repeat)} for name, run in runs.items()]
    return {"rows": rows, "dim": dim, "classes": classes, "batch": batch, "strategies": found}


def _clusters(
    rows: int, dim: int, classes: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows around one centre a class, of length 1 as sentence embeddings are."""
    y = rng.integers(classes, size=rows)
    y[:classes] = np.arange(classes)
    X = rng.standard_normal((classes, dim))[y] + 2.0 * rng.standard_normal((rows, dim))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float32), y


def _modal_margin(
    X: NDArray[np.float32],
    y: NDArray[np.int64],
    labelled: NDArray[np.int64],
    candidates: NDArray[np.int64],
    batch: int,
) -> Callable[[], object]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from modAL.models import ActiveLearner
        from modAL.uncertainty import margin_sampling
        from sklearn.linear_model import LogisticRegression

        learner = ActiveLearner(
            LogisticRegression(max_iter=1000),
            query_strategy=margin_sampling,
            X_training=X[labelled],
            y_training=y[labelled],
        )
    pool = X[candidates]
    return lambda: learner.query(pool, n_instances=batch)


def _best(run: Callable[[], object], repeat: int) -> float:
    best = float("inf")
    for _ in range(repeat):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return 1e3 * best
