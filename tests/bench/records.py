"""Made-up records of what `bench.label_cells` keeps."""

from __future__ import annotations

from typing import Any


def record(
    name: str,
    strategy: str,
    features: str,
    seed: int,
    steps: list[int],
    accuracy: list[float],
    *,
    constant: str = "",
    value: float | None = None,
) -> dict[str, Any]:
    """A run of so many of the steps as there are accuracies; all labels give accuracy 1."""
    steps = steps[: len(accuracy)]
    return {
        **{"set": name, "variant": "plain", "strategy": strategy, "features": features, "seed": seed},
        **{"student": "none", "constant": constant, "value": value, "full_pool_accuracy": 1.0, "cpu_seconds": 2.0},
        "run": {"labels": steps, "accuracy": accuracy, "macro_f1": accuracy, "rank_seconds": [0.25] * len(steps)},
    }
