"""The demo from its first step to its last."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cli.console import Progress
from cli.demonstration import bundle as bundles
from cli.demonstration import comparison, curve, digits
from cli.demonstration.service import LABELS_A_ROUND, OnStep, run_loop

SEED = 0


def run(rounds: int, seeds: int, out: Path) -> dict[str, Any]:
    """Run everything, with a progress bar on stderr, and give what was measured. The bundle is left in ``out``.

    Raises:
        CommandError: a step did not do what it should.
    """
    began = time.perf_counter()
    bar = Progress()
    try:
        with tempfile.TemporaryDirectory(prefix="winnow-demo-") as folder:
            result = _run(rounds, seeds, out, Path(folder), bar)
    finally:
        bar.close()
    return {**result, "seconds": round(time.perf_counter() - began, 1)}


def _run(rounds: int, seeds: int, out: Path, folder: Path, bar: Progress) -> dict[str, Any]:
    rng = np.random.default_rng(SEED)
    data = digits.load(rng)
    loop = run_loop(data, rounds, _part(bar, 0.0, 0.5))
    step = _part(bar, 0.5, 1.0)
    step(0.0, "running the bundle in an environment with only its requirements")
    unpacked = bundles.unpack(loop.bundle, loop.bundle_name, out)
    ran = bundles.run(unpacked, data.test, folder / "environment")
    step(0.4, "measuring the teacher beside it")
    features = comparison.encode(data, folder, rng)
    beside = comparison.compare(data, features, loop.labels, unpacked, rng)
    step(0.5, f"learning curves: {seeds} runs of auto, {seeds} of random sampling")
    simulated = curve.simulate(
        data, features, folder, batch=LABELS_A_ROUND, budget=rounds * LABELS_A_ROUND, seeds=seeds
    )
    right = [answer == label for answer, label in zip(ran.answers, data.test_classes, strict=True)]
    return {
        "data": "handwritten digits of scikit-learn (8 × 8 pixels)",
        "pool": len(data.pool),
        "test": len(data.test),
        "rounds": [
            {name: done.get(name) for name in ("n", "labels", "seconds", "promoted", "metrics")} for done in loop.rounds
        ],
        "labels": len(loop.labels) - len(data.test),
        "accuracy": loop.stats["accuracy"],
        "bundle": {
            "folder": str(ran.folder),
            "file": str(out / loop.bundle_name),
            "accuracy": sum(right) / len(right),
            "isolated": ran.isolated,
            "note": ran.note,
        },
        **beside,
        "curve": curve.as_table(simulated),
        "seeds": seeds,
        "labels_to": simulated["labels_to"],
        "full_pool_accuracy": simulated["full_pool_accuracy"],
        "start_seconds": round(loop.start_seconds, 2),
        "import_seconds": round(loop.import_seconds, 2),
        "next_p50_ms": round(loop.next_p50_ms, 1),
    }


def _part(bar: Progress, start: float, end: float) -> OnStep:
    """A step function whose 0 to 1 is the bar's ``start`` to ``end``."""

    def step(share: float, message: str) -> None:
        bar.update(start + share * (end - start), message)

    made: Callable[[float, str], None] = step
    return made
