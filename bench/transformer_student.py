"""Transformer students beside their teacher in torch and the quick student: accuracy, size, speed on one thread.

``python -m bench.transformer_student --set banking77 --labels 1498 --kept FOLDER`` with ``WINNOW_BENCH_DATA`` set.
Students are trained once and kept in the folder, with the features; ``--what matching`` compares what they are drawn to
in training, ``--what exits`` leaving early with a cascade. Speeds are also given for each second of CPU, which a busy
machine changes less than those of the clock.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.early_exit import exits
from bench.report import as_text
from bench.transformer_cells import MATCHES, Cell, Texts, trained

FAMILIES = ("static", "transformer-1", "transformer-2")
_TIMED, _TORCH_TIMED, _ALONE = 2_000, 256, 200
_PARITY, _CALIBRATION = 5_000, 200
_TORCH_BYTES = 90_900_000


def measure(texts: Texts, cells: Sequence[Cell]) -> dict[str, Any]:
    """Train or read the cells' students, export them in INT8, and hold each bundle against the teacher in torch."""
    students = [(cell, *trained(cell, texts)) for cell in cells]
    reference = _torch_teacher(texts)
    rows = []
    for cell, student, facts in students:
        with tempfile.TemporaryDirectory(prefix="winnow-bench-") as scratch:
            rows.append(_bundle_row(cell, student, facts, texts, Path(scratch)))
    rows.append(reference)  # the first row names the columns, and it has fewer
    for row in rows:
        row["retention"] = row["accuracy"] / texts.teacher_accuracy
        row["times_torch"] = row["texts_per_cpu_second"] / reference["texts_per_cpu_second"]
    return {"set": texts.name, "labels": texts.labels, "test": len(texts.test), "threads": 1, "models": rows}


def _bundle_row(cell: Cell, student: Any, facts: dict[str, Any], texts: Texts, scratch: Path) -> dict[str, Any]:
    from models.artifacts import save_student
    from models.export.bundle import export_bundle
    from models.export.card import CardFacts, Latency
    from predictor import load

    save_student(scratch / "student", student)
    sample = [texts.pool[row] for row in np.random.default_rng(2).permutation(len(texts.pool))[:_PARITY]]
    report = export_bundle(
        scratch / "student",
        calibration=sample[:_CALIBRATION],
        parity_items=sample,
        card=CardFacts("bench"),
        out=scratch / "bundle.zip",
        latency=Latency(0.0, 0.0, "measured elsewhere"),
    )
    with zipfile.ZipFile(report.path) as archive:
        archive.extractall(scratch / "bundle")
    predictor = load(scratch / "bundle", threads=1)
    found = predictor.predict_proba(texts.test)
    many = texts.test[:_TIMED]
    return {
        "model": cell.family,
        "accuracy": float((found.argmax(1) == texts.y[1]).mean()),
        "fp32": facts["fp32_accuracy"],
        "agreement": report.parity["agreement"],
        "fp32_layers": sum(stored == "fp32" for name, stored in report.layers.items() if name != "head"),
        **_speed(lambda: predictor.predict_proba(many), len(many), 3),
        **_alone(lambda text: predictor.predict_proba([text]), texts.test),
        "model_mb": report.model_bytes / 1e6,
        "zip_mb": report.bytes / 1e6,
        "train_cpu_s": facts["train_cpu_seconds"],
        "cut": facts["cut_share"],
    }


def _torch_teacher(texts: Texts) -> dict[str, Any]:
    """The published network in torch with the teacher's head: its speed, and the accuracy of the kept features."""
    from bench.encode import TorchMiniLM

    network = TorchMiniLM()
    texts.taught(network.encode(texts.test[:16]))
    some = texts.test[:_TORCH_TIMED]
    return {
        "model": "teacher in torch",
        "accuracy": texts.teacher_accuracy,
        **_speed(lambda: texts.taught(network.encode(some)), len(some), 2),
        **_alone(lambda text: texts.taught(network.encode([text])), texts.test[:40]),
        "model_mb": _TORCH_BYTES / 1e6,
    }


def _speed(run: Callable[[], object], n: int, repeats: int) -> dict[str, float]:
    """The best of some runs over ``n`` texts."""
    run()
    clock, cpu = float("inf"), float("inf")
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.process_time()
        run()
        clock, cpu = min(clock, time.perf_counter() - began), min(cpu, time.process_time() - worked)
    return {"texts_per_second": n / clock, "texts_per_cpu_second": n / cpu}


def _alone(run: Callable[[str], object], texts: Sequence[str]) -> dict[str, float]:
    """Milliseconds of one text by itself: median by the clock, and median of the CPU's."""
    clocks, cpus = [], []
    for text in texts[:_ALONE]:
        began, worked = time.perf_counter(), time.process_time()
        run(text)
        clocks.append(time.perf_counter() - began)
        cpus.append(time.process_time() - worked)
    return {"p50_ms": 1000 * float(np.median(clocks)), "p50_cpu_ms": 1000 * float(np.median(cpus))}


def matching(texts: Texts, family: str, transfer: int, epochs: int | None, seeds: int) -> dict[str, Any]:
    """The same trainings with each way of matching: means, and accuracies by seed."""
    rows = []
    for match in MATCHES:
        cells = [Cell(texts.name, family, texts.labels, transfer, epochs, match, seed) for seed in range(seeds)]
        found = [trained(cell, texts)[1] for cell in cells]
        accuracy = float(np.mean([facts["fp32_accuracy"] for facts in found]))
        rows.append(
            {
                "matched": match,
                "accuracy": accuracy,
                "by_seed": " ".join(f"{facts['fp32_accuracy']:.3f}" for facts in found),
                "retention": accuracy / texts.teacher_accuracy,
                "loss_aside": float(np.mean([facts["loss"] for facts in found])),
                "train_cpu_s": float(np.mean([facts["train_cpu_seconds"] for facts in found])),
            }
        )
    shape = {"family": family, "transfer": transfer, "epochs": epochs}
    return {"set": texts.name, "labels": texts.labels, **shape, "teacher": texts.teacher_accuracy, "trainings": rows}


def main() -> None:
    """Print one of the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", default="banking77", choices=("banking77", "agnews"))
    parser.add_argument("--labels", type=int, default=1_498)
    parser.add_argument("--kept", type=Path, required=True, help="folder for features and students")
    parser.add_argument("--what", default="students", choices=("students", "matching", "exits"))
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--transfer", type=int, default=10_000, help="soft labels")
    parser.add_argument("--seeds", type=int, default=1, help="of matching")
    parser.add_argument("--epochs", type=int, help="passes of transformers; theirs where not given")
    options = parser.parse_args()
    texts = Texts(options.set, options.labels, options.kept)
    if options.what == "matching":
        found = matching(texts, options.families[-1], options.transfer, options.epochs, options.seeds)
        print(as_text(found))
        return
    cells = [
        Cell(
            options.set,
            family,
            options.labels,
            options.transfer,
            options.epochs if family.startswith("transformer") else None,
        )
        for family in options.families
    ]
    print(as_text(measure(texts, cells) if options.what == "students" else exits(texts, cells)))


if __name__ == "__main__":
    main()
