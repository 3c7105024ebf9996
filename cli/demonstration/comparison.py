"""The student beside its teacher, on the same labels and the same test images, one thread each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.demonstration.digits import CLASSES, Digits

_REPEATS = 5


@dataclass(frozen=True)
class Features:
    """The pool and the test set as the ``patches`` encoder sees them, and the encoder."""

    encoder: Any
    pool: NDArray[np.float32]
    test: NDArray[np.float32]


def encode(digits: Digits, cache: Path, rng: np.random.Generator) -> Features:
    """Fit the encoder on the pool and encode both sets, as the service does."""
    from models.encoders import make_encoder

    encoder = make_encoder("patches", "image", cache=cache, threads=1)
    encoder.fit(digits.pool, rng)
    return Features(encoder, encoder.encode(digits.pool).features, encoder.encode(digits.test).features)


def compare(
    digits: Digits, features: Features, labels: list[dict[str, Any]], bundle: Path, rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Accuracy on the test images, bytes, and images a second, of ``teacher`` and ``student``.

    The teacher is the service's recipe fitted on the labels that the people gave; it runs encoder and head. The student
    is the bundle, as its ``predict.py`` runs it.
    """
    from models.teachers import LogisticTeacher
    from predictor import load

    given = [row for row in labels if row["source"] == "human" and row["split"] == "pool" and row["label"]]
    rows = np.array([int(str(row["key"]).removeprefix("pool-")) for row in given])
    y = np.array([CLASSES.index(str(row["label"])) for row in given])
    exploration = np.array([row["mechanism"] == "exploration" for row in given])
    teacher = LogisticTeacher.fit(features.pool[rows], y, len(CLASSES), exploration, rng=rng, pool=features.pool)
    truth = np.array([CLASSES.index(label) for label in digits.test_classes])
    student = load(bundle, threads=1)

    def ask_teacher() -> NDArray[np.int64]:
        probabilities = teacher.predict_proba(features.encoder.encode(digits.test).features)
        return np.asarray(np.argmax(probabilities, axis=1), dtype=np.int64)

    def ask_student() -> NDArray[np.int64]:
        return np.array([CLASSES.index(answer["label"]) for answer in student.predict(digits.test)])

    state = [*features.encoder.state().values(), *teacher.arrays().values()]
    return {
        "teacher": {
            "accuracy": float(np.mean(ask_teacher() == truth)),
            "bytes": float(sum(array.nbytes for array in state)),
            "images_per_second": _speed(ask_teacher, len(truth)),
        },
        "student": {
            "accuracy": float(np.mean(ask_student() == truth)),
            "bytes": float((bundle / "model.onnx").stat().st_size),
            "images_per_second": _speed(ask_student, len(truth)),
        },
    }


def _speed(ask: Callable[[], object], n: int) -> float:
    """Images a second, the best of a few runs."""
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        ask()
        best = min(best, time.perf_counter() - began)
    return n / best
