"""A cascade beside its student and its teacher: ``python -m bench.cascade --features FOLDER``.

A round as the service runs it, on labels drawn uniformly; its student and its teacher's head become a bundle, whose
threshold is chosen on items that neither learned from. The test set only scores.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.real_features import RealSet, keep_features
from bench.report import as_text
from models.artifacts import save_student
from models.cascade import Threshold
from models.compression.minilm import compact_minilm
from models.export.card import CardFacts
from models.export.cascade_bundle import CascadeTeacher, export_cascade
from models.linear_head import LinearHead, fit_head
from models.students.student import Student
from models.teachers import LogisticTeacher
from predictor import Cascade, load
from worker.dataset import load_dataset
from worker.recipe import Recipe
from worker.round import run_round
from worker.simulate import SimulateOptions
from worker.simulated_pool import Bench

LABELS = {"agnews": 400, "banking77": 1_500}
HELD = 500
"""Labels kept from training: the service keeps about as many by the time it has so many to train on."""
TRANSFER = 3_000
_HEAD_LABEL = 2.0


@dataclass(frozen=True)
class _Trained:
    """A round's student and teacher, and what they are exported and measured with.

    Attributes:
        bench: The set.
        student: What it trained.
        teacher: Its head.
        transfer: Rows whose soft labels the bundle's head learns from.
        soft: These, (transfer rows, classes).
        labelled: Rows with labels.
        held: Rows that neither student nor head learned from.
    """

    bench: Bench
    student: Student
    teacher: LogisticTeacher
    transfer: NDArray[np.int64]
    soft: NDArray[np.floating[Any]]
    labelled: NDArray[np.int64]
    held: NDArray[np.int64]


@dataclass(frozen=True)
class _Bundled:
    """What a bundle answers to the test texts, and what that and its export took, in CPU seconds."""

    head: LinearHead
    answers: NDArray[Any]
    passed: NDArray[np.bool_]
    threshold: Threshold
    megabytes: float
    export_seconds: float
    texts_per_second: float
    teacher_texts_per_second: float


def measure(name: str, features: Path, *, most_test: int | None = None, seed: int = 0) -> dict[str, Any]:
    """Train, export the bundle, and score student, teacher and cascade on a real set's test file."""
    kept = keep_features(name, features)
    trained = _train(name, kept, seed)
    bench = trained.bench
    test_texts, y = [str(text) for text in bench.test_items][:most_test], bench.test_y[:most_test]
    bundled = _bundle(name, trained, kept.X, test_texts, seed)
    own = trained.student.predict_proba(test_texts)
    alone = bundled.head.predict_proba(kept.test_features[: len(y)])
    of_round = bench.test_probabilities(trained.teacher)[: len(y)]

    def right(probabilities: Any) -> float:
        return float((np.asarray(probabilities).argmax(1) == y).mean())

    return {
        "set": name,
        "labels": len(trained.labelled),
        "held_labels": len(trained.held),
        "test": len(y),
        "student": right(own),
        "teacher_of_the_bundle": right(alone),
        "cascade": right(bundled.answers),
        "passed_on": float(bundled.passed.mean()),
        "teacher_of_the_round": right(of_round),
        "threshold": bundled.threshold.to_dict(),
        "bundle_mb": bundled.megabytes,
        "cascade_texts_per_cpu_second": bundled.texts_per_second,
        "teacher_texts_per_cpu_second": bundled.teacher_texts_per_second,
        "export_cpu_seconds": bundled.export_seconds,
    }


def _train(name: str, kept: RealSet, seed: int) -> _Trained:
    """One round on labels drawn uniformly, and its teacher's soft labels of other rows."""
    data = Path(os.environ["WINNOW_BENCH_DATA"])
    pool, test = (load_dataset(data / f"{name}.{part}.jsonl") for part in ("train", "test"))
    bench = Bench.of(pool, test, SimulateOptions(encoder="minilm"), encoded=(kept.X, kept.test_features))
    order = np.random.default_rng([seed, 1]).permutation(len(bench.y))
    labelled, held = np.sort(order[: LABELS[name]]), np.sort(order[LABELS[name] : LABELS[name] + HELD])
    given = bench.data(labelled, bench.y[labelled], True)
    given = replace(
        given,
        candidate_rows=np.setdiff1d(given.candidate_rows, held),
        holdout_rows=held,
        holdout_y=bench.y[held],
    )
    recipe = Recipe(strategy="random", encoder="minilm", queue_size=10, seed=seed)
    result = run_round(given, recipe, None, np.random.default_rng(seed))
    if result.teacher is None or result.student is None:
        raise RuntimeError(f"the round did not train: {result.reason}")
    free = np.setdiff1d(order, held)
    transfer = np.random.default_rng([seed, 2]).permutation(free)[:TRANSFER]
    soft = result.teacher.predict_proba(given.views[result.teacher.view], transfer)
    return _Trained(bench, result.student, result.teacher, transfer, soft, labelled, held)


def _fit_head(trained: _Trained, X: NDArray[np.floating[Any]], seed: int) -> LinearHead:
    """The bundle's teacher: it learns from the round's and from the labels."""
    bench, labelled = trained.bench, trained.labelled
    return fit_head(
        X[np.concatenate([trained.transfer, labelled])],
        np.concatenate([trained.soft, np.eye(bench.n_classes, dtype=np.float32)[bench.y[labelled]]]),
        weight=np.repeat(np.array([1.0, _HEAD_LABEL], np.float32), [len(trained.transfer), len(labelled)]),
        rng=np.random.default_rng(seed),
    )


def _bundle(name: str, trained: _Trained, X: NDArray[np.floating[Any]], test_texts: list[str], seed: int) -> _Bundled:
    """Export, unpack and time the cascade."""
    bench, held = trained.bench, trained.held
    texts = [str(bench.items[row]) for row in [*trained.transfer, *trained.labelled, *held]]
    fresh = texts[len(texts) - len(held) :]
    began = time.process_time()
    encoder = compact_minilm(texts, common=0)  # the harder case: words of the test set alone are spelled
    # The encoder gives for these texts what the project's gave, which is at hand.
    head = _fit_head(trained, X, seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        save_student(folder / "student", trained.student)
        report, threshold = export_cascade(
            folder / "student",
            CascadeTeacher(encoder, head),
            fresh=fresh,
            calibration=texts[:300],
            parity_items=texts[:1_000],
            card=CardFacts(name),
            out=folder / "bundle.zip",
            measured=(fresh, bench.y[held]),
        )
        exported = time.process_time() - began
        with zipfile.ZipFile(report.path) as archive:
            archive.extractall(folder / "bundle")
        cascade = load(folder / "bundle")
        if not isinstance(cascade, Cascade):
            raise RuntimeError("the bundle is no cascade")
        began = time.process_time()
        answers, passed = cascade.answer(test_texts)
        seconds = time.process_time() - began
        some = test_texts[: max(100, len(test_texts) // 10)]
        began = time.process_time()
        cascade.teacher.run(some)
        teacher_speed = len(some) / (time.process_time() - began)
    speed = len(test_texts) / seconds
    return _Bundled(head, answers, passed, threshold, report.bytes / 1e6, exported, speed, teacher_speed)


def main() -> None:
    """Print what was found, one set after the other; ``--json`` prints one object a line."""
    parser = argparse.ArgumentParser(prog="python -m bench.cascade", description=__doc__)
    parser.add_argument("--features", type=Path, required=True, help="folder where encoded sets are kept")
    parser.add_argument("--sets", nargs="+", choices=sorted(LABELS), default=sorted(LABELS))
    parser.add_argument("--test", type=int, help="most test rows (default: all)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for name in arguments.sets:
        for seed in range(arguments.seeds):
            found = measure(name, arguments.features, most_test=arguments.test, seed=seed)
            print(json.dumps(found) if arguments.json else as_text(found) + "\n", flush=True)


if __name__ == "__main__":
    main()
