"""The student beside its teacher: accuracy on texts that neither has seen, size, and speed on one thread."""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.encode import TorchMiniLM
from bench.pools import make_pool
from bench.texts import labelled_texts

_POOL, _TEST, _TORCH_TEXTS, _REPEATS = 5_000, 1_000, 256, 3
#: The published network in fp32, of which the teacher's encoder is made.
_MINILM_BYTES = 90_900_000


def measure(labels: int) -> dict[str, Any]:
    """Run a round on ``labels`` labels, export its student, and hold the bundle against the teacher."""
    from models.artifacts import save_student
    from models.encoders import make_encoder, resolve_auto
    from models.export.bundle import export_bundle
    from models.export.card import CardFacts
    from predictor import load
    from worker.recipe import Recipe
    from worker.round import run_round

    encoder = resolve_auto("auto", "text")
    pool = make_pool(_POOL, encoder=encoder)
    labels = min(labels, len(pool.texts) // 2)
    result = run_round(pool.as_round_data(labels), Recipe(encoder=encoder), None, np.random.default_rng(0))
    if result.teacher is None or result.student is None:
        raise RuntimeError(f"the round did not train: {result.reason}")
    teacher = result.teacher
    texts, truth, _ = labelled_texts(_TEST, part="test")
    y = np.array([pool.class_names.index(label) for label in truth])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = make_encoder(encoder, "text", cache=folder / "cache", threads=1)
        made.fit(pool.texts, np.random.default_rng(0))
        save_student(folder / "student", result.student)
        report = export_bundle(
            folder / "student",
            calibration=pool.texts[:300],
            parity_items=pool.texts,
            card=CardFacts("bench"),
            out=folder / "bundle.zip",
        )
        with zipfile.ZipFile(report.path) as archive:
            archive.extractall(folder / "bundle")
        student = load(folder / "bundle", threads=1)
        answers = np.array([pool.class_names.index(answer["label"]) for answer in student.predict(texts)])
        rows: list[dict[str, Any]] = [
            {
                "model": f"teacher ({encoder} and head)",
                "accuracy": float(np.mean(teacher.predict_proba(made.encode(texts).features).argmax(1) == y)),
                "mb": None,
                "texts_per_second": _speed(lambda: teacher.predict_proba(made.encode(texts).features), len(texts)),
            },
            {
                "model": "student (the INT8 bundle)",
                "accuracy": float(np.mean(answers == y)),
                "mb": report.bytes / 1e6,
                "texts_per_second": _speed(lambda: student.predict(texts), len(texts)),
            },
        ]
    reference = _torch(texts[:_TORCH_TEXTS], len(pool.class_names))
    if reference is not None:
        rows.append(
            {
                "model": "MiniLM and head in torch",
                "accuracy": None,
                "mb": _MINILM_BYTES / 1e6,
                "texts_per_second": reference,
            }
        )
    for row in rows:
        row["times_torch"] = row["texts_per_second"] / reference if reference else None
    return {"labels": labels, "pool": len(pool.texts), "test": len(texts), "source": pool.source, "models": rows}


def _torch(texts: list[str], n_classes: int) -> float | None:
    try:
        network = TorchMiniLM()
    except ImportError:
        return None
    head = np.random.default_rng(0).standard_normal((384, n_classes)).astype(np.float32)
    network.encode(texts[:16])
    return _speed(lambda: np.argmax(network.encode(texts) @ head, axis=1), len(texts), 1)


def _speed(run: Callable[[], object], n: int, repeats: int = _REPEATS) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return n / best
