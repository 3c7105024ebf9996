"""Whether cold students in the background pay: ``python -m bench.cold_students --features FOLDER``.

Rounds as the service runs them on labels drawn uniformly, once with warm students only where the round chooses so, once
with a cold one tried beside them where the service would try one, and taken where it is found better. The test set only
scores: students, and each cold one beside the warm one that it was tried against.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import RealSet, keep_features
from bench.report import as_text
from models.students.student import Student
from worker.cold import Retrained, is_quick, parted, retrain
from worker.dataset import load_dataset
from worker.recipe import Recipe
from worker.round import run_round
from worker.round_data import PreviousRound, RoundData, RoundResult
from worker.simulate import SimulateOptions
from worker.simulated_pool import Bench

LABELS = {"agnews": (100, 500), "banking77": (400, 1_600)}
"""Of the first round and of the last."""
STEP = 0.05
"""By how much labels grow from a round to the next."""
HELD = 150
"""Rows that measure, as the service's holdout does: they are neither learned from nor ranked."""


@dataclass
class Chain:
    """What came of the rounds of one seed.

    Attributes:
        accuracies: Of the student that people would have after each round, on the test set.
        tried: For each cold student: whether it was taken, and its gain in accuracy over the warm one.
        round_cpu: CPU-seconds of the rounds.
        cold_cpu: CPU-seconds of the cold students in the background.
    """

    accuracies: list[float] = field(default_factory=list)
    tried: list[tuple[bool, float]] = field(default_factory=list)
    round_cpu: float = 0.0
    cold_cpu: float = 0.0


@dataclass(frozen=True)
class Ground:
    """A set, the order in which its rows are labelled, and the rows that measure."""

    bench: Bench
    order: NDArray[np.int64]
    held: NDArray[np.int64]

    def data(self, n: int) -> RoundData:
        """A round's input with the first ``n`` labels."""
        labelled = np.sort(self.order[:n])
        given = self.bench.data(labelled, self.bench.y[labelled], True)
        free = np.setdiff1d(given.candidate_rows, self.held)
        return replace(given, candidate_rows=free, holdout_rows=self.held, holdout_y=self.bench.y[self.held])

    def accuracy(self, student: Student) -> float:
        """On the test set."""
        found = student.predict_proba(self.bench.test_items)
        return float((found.argmax(axis=1) == self.bench.test_y).mean())


def ground_of(name: str, kept: RealSet, seed: int) -> Ground:
    """A real set of ``WINNOW_BENCH_DATA``, its rows in an order of this seed."""
    folder = Path(os.environ["WINNOW_BENCH_DATA"])
    pool, test = (load_dataset(folder / f"{name}.{part}.jsonl") for part in ("train", "test"))
    bench = Bench.of(pool, test, SimulateOptions(encoder="minilm"), encoded=(kept.X, kept.test_features))
    order = np.random.default_rng([seed, 3]).permutation(len(bench.y))
    return Ground(bench, order[HELD:], np.sort(order[:HELD]))


def counts(first: int, last: int) -> Iterator[int]:
    """How many labels there are in each round.

    >>> list(counts(100, 119))
    [100, 105, 110, 115]
    """
    n = first
    while n <= last:
        yield n
        n += max(1, int(STEP * n))


def run_chain(ground: Ground, labels: tuple[int, int], seed: int, *, background: bool) -> Chain:
    """Rounds one after the other, each going on from the student that the one before left."""
    chain, previous, tried_at = Chain(), None, 0
    for place, n in enumerate(counts(*labels)):
        data = ground.data(n)
        recipe = Recipe(strategy="random", encoder="minilm", queue_size=10, seed=1_000 * seed + place)
        began = time.process_time()
        result = run_round(data, recipe, previous, np.random.default_rng(recipe.seed))
        chain.round_cpu += time.process_time() - began
        if result.promoted or previous is None:
            previous = _followed(result, ground.bench.class_names)
            why = parted(result.metrics, result.carry, tried_at) if background and result.promoted else None
            if why is not None and is_quick(_student(result).family, recipe.teacher):
                tried_at = n
                began = time.process_time()
                found = retrain(data, recipe, previous, result.teacher_arrays(), result.metrics, lambda: None)
                chain.cold_cpu += time.process_time() - began
                gain = ground.accuracy(_student(found.result)) - ground.accuracy(_student(result))
                chain.tried.append((found.verdict.better, gain))
                previous = _taken(found, previous)
        else:
            previous = replace(previous, teacher=result.teacher_arrays(), **result.carry)
        chain.accuracies.append(_accuracy_of(previous, ground))
    return chain


def _student(result: RoundResult) -> Student:
    if result.student is None:
        raise RuntimeError(f"the round did not train: {result.reason}")
    return result.student


def _followed(result: RoundResult, class_names: tuple[str, ...]) -> PreviousRound:
    student = _student(result)
    return PreviousRound(result.teacher_arrays(), student.arrays(), student.family, class_names, **result.carry)


def _taken(found: Retrained, warm: PreviousRound) -> PreviousRound:
    """What the next round goes on from: the cold student where it was found better."""
    if not found.verdict.better:
        return warm
    cold = _student(found.result)
    return replace(warm, student=cold.arrays(), student_family=cold.family, **found.result.carry)


def _accuracy_of(previous: PreviousRound, ground: Ground) -> float:
    if previous.student is None or previous.student_family is None:
        raise RuntimeError("there is no student yet")
    return ground.accuracy(Student.from_arrays(previous.student_family, previous.student, previous.class_names))


def measure(name: str, kept: RealSet, seeds: int, labels: tuple[int, int] | None = None) -> dict[str, Any]:
    """Both ways of going on, on the same labels, for each seed.

    Accuracies are means over the rounds, and gains their differences paired by seed, with twice their standard error
    where there are several; CPU-seconds are sums over a chain, the mean of the seeds.
    """
    labels = labels or LABELS[name]
    grounds = [ground_of(name, kept, seed) for seed in range(seeds)]
    without = [run_chain(ground, labels, seed, background=False) for seed, ground in enumerate(grounds)]
    beside = [run_chain(ground, labels, seed, background=True) for seed, ground in enumerate(grounds)]
    tried = [one for chain in beside for one in chain.tried]
    gains = [float(np.mean(b.accuracies) - np.mean(a.accuracies)) for a, b in zip(without, beside, strict=True)]
    return {
        "set": name,
        "seeds": seeds,
        "labels": f"{labels[0]} to {labels[1]}",
        "rounds": len(without[0].accuracies),
        "accuracy_without": float(np.mean([np.mean(chain.accuracies) for chain in without])),
        "accuracy_with": float(np.mean([np.mean(chain.accuracies) for chain in beside])),
        "gain": float(np.mean(gains)),
        "gain_error": None if seeds < 2 else float(2 * np.std(gains, ddof=1) / np.sqrt(seeds)),
        "tried": len(tried),
        "taken": sum(taken for taken, _ in tried),
        "cold_over_warm_where_taken": _mean([gain for taken, gain in tried if taken]),
        "cold_over_warm_where_not": _mean([gain for taken, gain in tried if not taken]),
        "round_cpu_seconds": float(np.mean([chain.round_cpu for chain in beside])),
        "background_cpu_seconds": float(np.mean([chain.cold_cpu for chain in beside])),
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def main() -> None:
    """Print what was found, one set after the other; ``--json`` prints one object a line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cold_students", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="folder where encoded sets are kept")
    parser.add_argument("--sets", nargs="+", choices=sorted(LABELS), default=sorted(LABELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.sets:
        found = measure(name, keep_features(name, arguments.features), arguments.seeds)
        print(json.dumps(found) if arguments.json else as_text(found) + "\n", flush=True)


if __name__ == "__main__":
    main()
