"""The loops of modAL, small-text and scikit-activeml beside ours: labels, mean accuracy, CPU-seconds of a whole loop.

``python -m bench.peer_loops --out FOLDER [--sets …] [--loops …] [--seeds 2]`` runs what the folder lacks;
``--report`` prints what it holds. Each peer's own learner runs its own loop over a logistic regression, as its
documentation shows. All see the same: raw features on our scale, the first batch that ``auto`` bought with that seed,
the steps of the set, the C that our rule chooses on the labels so far (not counted in a peer's seconds), and the same
final scoring: our teacher on the labels bought, raw features. Ours runs with all that it has, its choices counted.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.label_report import SHARES, mean_reach, median, reaches, standard_error
from bench.label_sets import GROUPS, PLANS, Plan, label_set, named_sets
from bench.report import as_text
from worker.simulate import SimulateOptions, run_seed
from worker.simulated_pool import Bench

IntArray = NDArray[np.int64]
_ITERATIONS = 1_000


class PeerLoop(Protocol):
    """A library's own loop over a pool."""

    def start(self, rows: IntArray, y: IntArray, C: float) -> None:
        """Learn from the first batch."""

    def ask(self, n: int) -> IntArray:
        """The next batch, row numbers of the pool."""

    def teach(self, rows: IntArray, y: IntArray, C: float) -> None:
        """Learn from the answers to it."""


class _ModalLoop:
    """modAL's ``ActiveLearner`` with margin sampling, or its ``Committee`` of three with vote entropy, bootstrapped."""

    def __init__(self, X: NDArray[np.float32], n_classes: int, seed: int, *, committee: bool = False) -> None:
        from sampler.modal import committee_class, learner_class, modal_module

        self._X, self._left = X, np.arange(len(X))
        self._bootstrap = {"bootstrap": True} if committee else {}
        margin = modal_module("uncertainty").margin_sampling
        self._learners = [learner_class()(_logistic(1.0), query_strategy=margin) for _ in range(3 if committee else 1)]
        self._loop = self._learners[0]
        if committee:
            vote = modal_module("disagreement").vote_entropy_sampling
            self._loop = committee_class()(learner_list=self._learners, query_strategy=vote)

    def start(self, rows: IntArray, y: IntArray, C: float) -> None:
        self.teach(rows, y, C)

    def ask(self, n: int) -> IntArray:
        picks, _ = self._loop.query(self._X[self._left], n_instances=n)
        return self._left[np.asarray(picks, dtype=np.int64)]

    def teach(self, rows: IntArray, y: IntArray, C: float) -> None:
        for learner in self._learners:
            learner.estimator.set_params(C=C)
        self._loop.teach(self._X[rows], y, **self._bootstrap)
        self._left = np.setdiff1d(self._left, rows)


class _SmallTextLoop:
    """small-text's ``PoolBasedActiveLearner`` with breaking ties, which is margin sampling."""

    def __init__(self, X: NDArray[np.float32], n_classes: int, seed: int) -> None:
        from sampler.imports import load_without_torch

        library = load_without_torch("small_text", extra="peers")
        unknown = np.full(len(X), library.LABEL_UNLABELED)
        data = library.SklearnDataset(X, unknown, target_labels=np.arange(n_classes))
        self._model = _logistic(1.0)
        factory = library.SklearnClassifierFactory(self._model, n_classes)
        self._loop = library.PoolBasedActiveLearner(factory, library.BreakingTies(), data)

    def start(self, rows: IntArray, y: IntArray, C: float) -> None:
        self._model.set_params(C=C)
        self._loop.initialize_data(rows, y)

    def ask(self, n: int) -> IntArray:
        return np.asarray(self._loop.query(num_samples=n), dtype=np.int64)

    def teach(self, rows: IntArray, y: IntArray, C: float) -> None:
        self._model.set_params(C=C)
        self._loop.update(y)


class _SkactivemlLoop:
    """scikit-activeml's loop of ``fit`` and ``query`` with one of its query strategies."""

    def __init__(self, X: NDArray[np.float32], n_classes: int, seed: int, *, strategy: str) -> None:
        from sampler.imports import load_without_torch

        pool = load_without_torch("skactiveml.pool", extra="peers")
        classifier = load_without_torch("skactiveml.classifier", extra="peers")
        self._X, self._y = X, np.full(len(X), np.nan)
        self._model = classifier.SklearnClassifier(_logistic(1.0), classes=list(range(n_classes)), random_state=seed)
        self._with_model = strategy != "TypiClust"
        if strategy == "margin":
            self._query = pool.UncertaintySampling(method="margin_sampling", random_state=seed)
        else:
            self._query = getattr(pool, strategy)(random_state=seed)

    def start(self, rows: IntArray, y: IntArray, C: float) -> None:
        self.teach(rows, y, C)

    def ask(self, n: int) -> IntArray:
        more = {"clf": self._model, "fit_clf": False} if self._with_model else {}
        return np.asarray(self._query.query(self._X, self._y, batch_size=n, **more), dtype=np.int64)

    def teach(self, rows: IntArray, y: IntArray, C: float) -> None:
        self._y[rows] = y
        self._model.set_params(estimator__C=C)
        self._model.fit(self._X, self._y)


LOOPS: dict[str, Callable[[NDArray[np.float32], int, int], PeerLoop]] = {
    "modAL margin": _ModalLoop,
    "modAL committee": lambda X, k, seed: _ModalLoop(X, k, seed, committee=True),
    "small-text breaking ties": _SmallTextLoop,
    "scikit-activeml margin": lambda X, k, seed: _SkactivemlLoop(X, k, seed, strategy="margin"),
    "scikit-activeml TypiClust": lambda X, k, seed: _SkactivemlLoop(X, k, seed, strategy="TypiClust"),
    "scikit-activeml Badge": lambda X, k, seed: _SkactivemlLoop(X, k, seed, strategy="Badge"),
}
OURS = "Winnow auto"
_DEFAULT = [OURS, "modAL margin", "modAL committee", "small-text breaking ties", "scikit-activeml margin"]


def run_loop(loop: str, bench: Bench, plan: Plan, seed: int, first: IntArray) -> dict[str, Any]:
    """One loop of a peer from ``first`` on: ``labels``, ``accuracy`` and ``cpu_seconds`` so far, step by step."""
    from models.teachers import LogisticTeacher, column_scaling
    from sampler.imports import call_of_peer
    from sampler.threads import single_thread

    center, scale = column_scaling(bench.features)
    X = (bench.features.astype(np.float32) - center) / scale
    options = _options(plan)
    run: dict[str, Any] = {"labels": [], "accuracy": [], "cpu_seconds": []}
    bought, batch, spent = np.empty(0, dtype=np.int64), first, 0.0
    teacher: LogisticTeacher | None = None
    with single_thread(), call_of_peer(seed):
        peer = LOOPS[loop](X, bench.n_classes, seed)
        while True:
            bought = np.concatenate([bought, batch])
            y = bench.y[bought]
            teacher = LogisticTeacher.fit(
                bench.features[bought], y, bench.n_classes,
                rng=np.random.default_rng([seed, len(bought)]), previous=teacher, pool=bench.features,
            )  # fmt: skip
            began = time.process_time()
            (peer.teach if run["labels"] else peer.start)(batch, bench.y[batch], teacher.C)
            spent += time.process_time() - began
            run["labels"].append(len(bought))
            run["accuracy"].append(bench.scores(teacher.predict_proba(bench.test_features))[0])
            run["cpu_seconds"].append(round(spent, 4))
            if len(bought) >= plan.budget:
                return run
            began = time.process_time()
            batch = peer.ask(min(options.batch_after(len(bought)), plan.budget - len(bought)))
            spent += time.process_time() - began


def run_ours(bench: Bench, plan: Plan, seed: int) -> dict[str, Any]:
    """The same of ``auto``; its seconds are those of all of the loop, and only the last entry holds."""
    from sampler.threads import single_thread

    with single_thread():
        began = time.process_time()
        run = run_seed(bench, _options(plan), seed)
        spent = time.process_time() - began
    return {"labels": run["labels"], "accuracy": run["accuracy"], "cpu_seconds": [round(spent, 4)]}


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each set and loop; see `bench.label_report.summary`."""
    rows = []
    for name in PLANS:
        for loop in (OURS, *LOOPS):
            runs = [record for record in records if (record["set"], record["loop"]) == (name, loop)]
            if not runs:
                continue
            span = PLANS[name].span
            means = np.array([_until(record["run"], span).mean() for record in runs])
            row: dict[str, Any] = {"set": name, "loop": loop, "seeds": len(runs)}
            for share in SHARES:
                row[f"labels_{share * 100:.0f}"] = median(reaches(runs, share))
                row[f"labels_{share * 100:.0f}_mean_curve"] = mean_reach(runs, share)
            row["mean_accuracy"], row["standard_error"] = float(means.mean()), standard_error(means)
            row["bought"] = min(record["run"]["labels"][-1] for record in runs)
            row["cpu_seconds"] = float(np.median([record["run"]["cpu_seconds"][-1] for record in runs]))
            rows.append(row)
    return rows


def records_in(folder: Path) -> list[dict[str, Any]]:
    """What has been run."""
    return [json.loads(path.read_text()) for path in sorted((folder / "peers").glob("*.json"))]


def _until(run: dict[str, Any], span: int) -> NDArray[np.float64]:
    return np.array([value for labels, value in zip(run["labels"], run["accuracy"], strict=True) if labels <= span])


def _options(plan: Plan) -> SimulateOptions:
    return SimulateOptions(
        initial=plan.first, batch=plan.step, schedule=plan.then, budget=plan.budget, encoder="none", student="none"
    )


def _logistic(C: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=_ITERATIONS)


def _run_missing(name: str, loops: list[str], seeds: int, folder: Path) -> None:
    wanted = [(loop, seed) for seed in range(seeds) for loop in loops]
    left = [pair for pair in wanted if not _file(folder, name, *pair).exists()]
    if not left:
        return
    data, plan = label_set(name, "plain", folder / "features"), PLANS[name]
    bench = Bench.of(data.pool, data.test, _options(plan), encoded=data.encoded)
    full = bench.full_pool()
    (folder / "peers").mkdir(parents=True, exist_ok=True)
    for loop, seed in left:
        if loop == OURS:
            run = run_ours(bench, plan, seed)
        else:
            options = SimulateOptions(budget=plan.first, batch=plan.first, encoder="none", student="none")
            first = np.array(run_seed(bench, options, seed)["queries"][0], dtype=np.int64)
            run = run_loop(loop, bench, plan, seed, first)
        record = {"set": name, "loop": loop, "seed": seed, "full_pool_accuracy": full, "run": run}
        _file(folder, name, loop, seed).write_text(json.dumps(record))
        print(name, loop, seed, f"{run['cpu_seconds'][-1]:.2f} CPU-s", flush=True)


def _file(folder: Path, name: str, loop: str, seed: int) -> Path:
    return folder / "peers" / f"{name}.{loop.replace(' ', '-')}.{seed}.json"


def main() -> None:
    """Run what is missing, or report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peer_loops", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=[*GROUPS, *PLANS], default=["real"])
    parser.add_argument("--loops", nargs="+", choices=[OURS, *LOOPS], default=_DEFAULT)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for name in named_sets(options.sets):
            _run_missing(name, options.loops, options.seeds, options.out)
    result = {"loops": summary(records_in(options.out))}
    print(json.dumps(result) if options.json else as_text(result))


if __name__ == "__main__":
    main()
