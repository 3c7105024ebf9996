"""The learning curve beside random sampling: ``winnow simulate`` on the demo's features, over several seeds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.demonstration.comparison import Features
from cli.demonstration.digits import CLASSES, Digits
from cli.errors import CommandError


def simulate(
    digits: Digits, features: Features, folder: Path, *, batch: int, budget: int, seeds: int
) -> dict[str, Any]:
    """Run ``winnow simulate`` in a process of its own and give its output.

    Raises:
        CommandError: it failed.
    """
    files = {"pool": (features.pool, digits.pool_classes), "test": (features.test, digits.test_classes)}
    for name, (rows, classes) in files.items():
        np.savez(folder / f"{name}.npz", X=rows, y=np.array([CLASSES.index(label) for label in classes]))
    numbers = {"batch": batch, "budget": budget, "seeds": seeds}
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "simulate", "--json", "--student", "none"]
        + [f"--{name}={folder / name}.npz" for name in files]
        + [f"--{name}={value}" for name, value in numbers.items()],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        check=False,
    )
    if done.returncode != 0:
        raise CommandError(f"winnow simulate failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def as_table(simulated: dict[str, Any]) -> list[dict[str, Any]]:
    """For each number of labels, mean accuracy over the seeds with a 95 % interval: strategy and baseline."""
    ours, baseline = simulated["seeds"], simulated["baseline"]["seeds"]
    rows = []
    for step, labels in enumerate(ours[0]["labels"]):
        rows.append(
            {
                "labels": labels,
                "auto": _interval(np.array([seed["accuracy"][step] for seed in ours])),
                "random": _interval(np.array([seed["accuracy"][step] for seed in baseline])),
            }
        )
    return rows


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    """Mean and 95 % t-interval over seeds."""
    from scipy.stats import t

    mean = float(values.mean())
    if len(values) < 2:
        return {"mean": mean, "low": mean, "high": mean}
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": max(mean - half, 0.0), "high": min(mean + half, 1.0)}
