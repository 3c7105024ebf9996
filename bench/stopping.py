"""When each stopping criterion speaks: labels then, accuracy then and at the end, on three data sets.

``python -m bench.stopping`` with ``WINNOW_BENCH_DATA`` set; ``--features FOLDER`` for features that were kept.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import SETS, RealSet, real_features
from bench.report import as_text
from sampler.stopping import (
    Verdict,
    cluster_coverage,
    expected_gain,
    minimum_expected_error,
    overall_uncertainty,
    stabilizing_predictions,
)

#: First batch, step and budget.
LOOPS = {"agnews": (20, 20, 600), "banking77": (77, 77, 1_540), "mnist10k": (20, 20, 600)}
_STOP_SET = 2_000
_TRIED, _ANSWERS, _ERROR_ROWS = 3, 2, 1_000
_MOST_CLUSTERS = 100


def measure(
    name: str, data: RealSet, strategy: str, seed: int, sizes: tuple[int, int, int] | None = None
) -> list[dict[str, Any]]:
    """One loop; a row for each criterion. ``sizes`` are first batch, step and budget."""
    first, step, budget = sizes or LOOPS[name]
    loop = _Loop(data, strategy, seed)
    spoken: dict[str, tuple[int, float, float]] = {}
    accuracy = 0.0
    while len(loop.labeled) < budget:
        loop.buy(step if len(loop.labeled) else first)
        loop.fit()
        accuracy = loop.accuracy()
        for verdict in loop.verdicts():
            if verdict.stop and verdict.value is not None:
                spoken.setdefault(verdict.criterion, (len(loop.labeled), accuracy, verdict.value))
    rows = []
    for criterion in (v.criterion for v in loop.verdicts()):
        labels, then, value = spoken.get(criterion, (None, None, None))
        rows.append(
            {
                "set": name,
                "seed": seed,
                "criterion": criterion,
                "stops_at": labels,
                "value": value,
                "accuracy_then": then,
                "accuracy_at_the_end": accuracy,
                "labels_at_the_end": len(loop.labeled),
            }
        )
    return rows


class _Loop:
    """Buys labels with one strategy; asks the criteria after each step. Test rows only score."""

    def __init__(self, data: RealSet, strategy: str, seed: int):
        from sampler.diversity import gather, kmeans

        self.data, self.strategy, self.seed = data, strategy, seed
        self.labeled = np.empty(0, dtype=np.int64)
        self._rng = np.random.default_rng(seed)
        self._stop_set = self._rng.choice(len(data.y), min(_STOP_SET, len(data.y)), replace=False)
        self._predictions: list[NDArray[np.int64]] = []
        self._teacher: Any = None
        points = gather(data.X, np.arange(len(data.y)))
        self._clusters, _ = kmeans(points, _MOST_CLUSTERS, seed=seed)

    def buy(self, n: int) -> None:
        from sampler.query import QueryContext
        from sampler.strategies import get_strategy

        rest = self._rest()
        context = QueryContext(
            features=self.data.X,
            candidates=rest,
            labeled=self.labeled,
            y=self.data.y[self.labeled],
            n_classes=self.data.n_classes,
            rng=np.random.default_rng([self.seed, len(self.labeled)]),
            probabilities=None if self._teacher is None else self._teacher.predict_proba(self.data.X[rest]),
            batch_size=n,
        )
        cold = self._teacher is None
        ranking = get_strategy("typiclust" if cold else self.strategy).rank(context, n)
        self.labeled = np.concatenate([self.labeled, ranking.rows])

    def fit(self) -> None:
        self._teacher = self._fitted(self.labeled, self.data.y[self.labeled], self._teacher)
        self._predictions.append(self._teacher.predict_proba(self.data.X[self._stop_set]).argmax(axis=1))

    def accuracy(self) -> float:
        guesses = self._teacher.predict_proba(self.data.test_features).argmax(axis=1)
        return float((guesses == self.data.test_y).mean())

    def verdicts(self) -> list[Verdict]:
        rest = self._rest()
        probabilities = self._teacher.predict_proba(self.data.X[rest])
        tests: list[Callable[[], Verdict]] = [
            lambda: stabilizing_predictions(self._predictions),
            lambda: overall_uncertainty(probabilities),
            lambda: minimum_expected_error(probabilities),
            lambda: self._gain(rest, probabilities),
            lambda: cluster_coverage(self._clusters, self.labeled),
        ]
        return [test() for test in tests]

    def _gain(self, rest: NDArray[np.int64], probabilities: NDArray[np.floating[Any]]) -> Verdict:
        """Of the most doubtful items, a few with their two likeliest answers; the error over a part of the rest."""
        rng = np.random.default_rng(self.seed)
        part = rng.choice(len(rest), min(_ERROR_ROWS, len(rest)), replace=False)
        top = np.sort(probabilities, axis=1)
        tried = np.argsort(top[:, -1] - top[:, -2], kind="stable")[:_TRIED]
        answers = np.argsort(-probabilities[tried], axis=1, kind="stable")[:, :_ANSWERS]
        weights = np.take_along_axis(probabilities[tried], answers, axis=1)
        refitted = np.stack(
            [
                [
                    self._fitted(
                        np.append(self.labeled, rest[item]), np.append(self.data.y[self.labeled], answer), self._teacher
                    ).predict_proba(self.data.X[rest[part]])
                    for answer in options
                ]
                for item, options in zip(tried, answers, strict=True)
            ]
        )
        return expected_gain(probabilities[part], weights, refitted)

    def _rest(self) -> NDArray[np.int64]:
        return np.setdiff1d(np.arange(len(self.data.y)), self.labeled)

    def _fitted(self, rows: NDArray[np.int64], y: NDArray[np.int64], previous: Any) -> Any:
        from models.teachers import LogisticTeacher

        rng = np.random.default_rng(self.seed)
        return LogisticTeacher.fit(
            self.data.X[rows], y, self.data.n_classes, rng=rng, previous=previous, pool=self.data.X
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.stopping", description=__doc__)
    parser.add_argument("--features", type=Path, help="a folder with NAME.train.npz and NAME.test.npz")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--strategy", default="clustered_margin")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for name in options.sets:
        data = real_features(name, options.features)
        rows = [row for seed in range(options.seeds) for row in measure(name, data, options.strategy, seed)]
        print(as_text({"strategy": options.strategy, "rows": rows}), flush=True)


if __name__ == "__main__":
    main()
