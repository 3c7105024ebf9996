"""Seconds of a round: the first, which trains from nothing, and a warm one fifty labels later."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.pools import make_pool

_NEW_LABELS = 50


def measure(rows: int, labels: int) -> dict[str, Any]:
    """Run a cold and a warm round on ``rows`` cached texts with ``labels`` and then fifty more labels."""
    from worker.recipe import Recipe
    from worker.round import run_round
    from worker.round_data import PreviousRound, RoundResult

    pool = make_pool(rows, encoder="hashed")
    labels = min(labels, len(pool.texts) // 2)
    recipe = Recipe(encoder="hashed")
    found: list[tuple[str, RoundResult, float]] = []

    def run(name: str, n_labels: int, previous: PreviousRound | None) -> RoundResult:
        began = time.perf_counter()
        result = run_round(pool.as_round_data(n_labels), recipe, previous, np.random.default_rng(0))
        found.append((name, result, time.perf_counter() - began))
        return result

    first = run("cold", labels, None)
    if first.teacher is None or first.student is None:
        raise RuntimeError(f"the round did not train: {first.reason}")
    previous = PreviousRound(
        first.teacher.arrays(), first.student.arrays(), first.student.family, pool.class_names, **first.carry
    )
    run("warm", labels + _NEW_LABELS, previous)
    steps = sorted({step for _, result, _ in found for step in result.timings})
    return {
        "rows": len(pool.texts),
        "source": pool.source,
        "rounds": [
            {
                "round": name,
                "labels": labels + _NEW_LABELS * (name == "warm"),
                "seconds": seconds,
                **{f"{step}_s": result.timings.get(step) for step in steps},
            }
            for name, result, seconds in found
        ],
    }
