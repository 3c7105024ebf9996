"""Seconds of a round: the first, which trains from nothing, and a warm one fifty labels later; by step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from bench.pools import TextPool, make_pool

if TYPE_CHECKING:
    from models.students.student import Student
    from worker.round_data import PreviousRound, RoundResult

T = TypeVar("T")

_NEW_LABELS = 50
_STEPS = ("settle", "teacher", "student", "promote", "measure", "rank")
_LOADED_ON = 300  # rows of a round before, so that no import is timed


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and of the processor."""

    wall: float
    cpu: float


def measure(rows: int, labels: int, texts: str = "agnews") -> dict[str, Any]:
    """Run a cold and a warm round on ``rows`` cached texts with ``labels`` and then fifty more labels.

    What a set has too few of is made up of halves of its texts. Storing and exporting are what the service does after
    each round and when somebody asks: the student's files, and its INT8 bundle compared on up to 5,000 texts.
    """
    pool = make_pool(rows, encoder="hashed", name=texts, grown=True)
    labels = min(labels, len(pool.texts) // 2)
    _load(pool)
    cold, first = _run(pool, labels, None)
    previous = _after(pool, cold)
    warm, second = _run(pool, labels + _NEW_LABELS, previous)
    return {
        "rows": len(pool.texts),
        "source": pool.source,
        "classes": len(pool.class_names),
        "rounds": [
            {"round": "cold", "labels": labels, **_whole(first)},
            {"round": "warm", "labels": labels + _NEW_LABELS, **_whole(second)},
        ],
        "steps": [
            *({"step": step, **_step("cold", cold, step), **_step("warm", warm, step)} for step in _STEPS),
            *_afterwards(pool, _student(warm)),
        ],
    }


def _run(pool: TextPool, n_labels: int, previous: PreviousRound | None) -> tuple[RoundResult, Spent]:
    from worker.recipe import Recipe
    from worker.round import run_round

    data = pool.as_round_data(n_labels)
    return _timed(lambda: run_round(data, Recipe(encoder="hashed"), previous, np.random.default_rng(0)))


def _load(pool: TextPool) -> None:
    """Have everything imported by a round on a few rows."""
    few = replace(
        pool,
        texts=pool.texts[:_LOADED_ON],
        features=pool.features[:_LOADED_ON],
        y=pool.y[:_LOADED_ON],
        order=np.arange(len(pool.texts[:_LOADED_ON])),
    )
    _run(few, len(few.texts) // 2, None)


def _after(pool: TextPool, result: RoundResult) -> PreviousRound:
    from worker.round_data import PreviousRound

    student = _student(result)
    return PreviousRound(result.teacher_arrays(), student.arrays(), student.family, pool.class_names, **result.carry)


def _student(result: RoundResult) -> Student:
    if result.student is None:
        raise RuntimeError(f"the round did not train: {result.reason}")
    return result.student


def _afterwards(pool: TextPool, student: Student) -> list[dict[str, Any]]:
    """What follows a warm round: its student stored, and exported where somebody wants it."""
    from models.artifacts import save_student
    from models.export.bundle import export_bundle, write_serving_folder
    from models.export.card import CardFacts

    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as scratch:
        folder = Path(scratch)

        def store() -> None:
            save_student(folder / "student", student)
            write_serving_folder(student, folder / "serving")

        def export() -> None:
            export_bundle(
                folder / "student",
                calibration=pool.texts[:300],
                parity_items=pool.texts[:5_000],
                card=CardFacts("bench"),
                out=folder / "bundle.zip",
            )

        return [
            {"step": step, "cold_s": None, "cold_cpu_s": None, "warm_s": spent.wall, "warm_cpu_s": spent.cpu}
            for step, spent in (("store", _timed(store)[1]), ("export", _timed(export)[1]))
        ]


def _whole(spent: Spent) -> dict[str, float]:
    return {"seconds": spent.wall, "cpu_seconds": spent.cpu}


def _step(name: str, result: RoundResult, step: str) -> dict[str, float | None]:
    return {f"{name}_s": result.timings.get(step), f"{name}_cpu_s": result.cpu.get(step)}


def _timed(run: Callable[[], T]) -> tuple[T, Spent]:
    wall, cpu = time.perf_counter(), time.process_time()
    made = run()
    return made, Spent(time.perf_counter() - wall, time.process_time() - cpu)
