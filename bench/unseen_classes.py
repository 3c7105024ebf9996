"""How soon ``auto`` meets all classes: by their names, by names that say nothing, and without names.

``python -m bench.unseen_classes --out FOLDER [--sets banking77/plain …] [--names none true numbers] [--seeds 3]
[--steps 10]`` buys the first batches of each set's plan. Features, the encoded names and each finished run are kept in
FOLDER; what it has is not run again while the code is the same. ``WINNOW_BENCH_DATA`` names the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.label_cells import code_digest
from bench.label_sets import PLANS, TEXTS, VARIANTS, has_variant, label_set
from bench.report import as_text

NAMES = ("none", "true", "numbers")
SETS = ("banking77/plain", "banking77/imbalance20", "banking77/hashed", "agnews/plain", "agnews/hashed")
_SHOWN = (1, 2, 3, 4)
"""After how many batches the classes that were met are counted."""


def runs(name: str, variant: str, names: str, seeds: int, steps: int, folder: Path) -> list[dict[str, Any]]:
    """``labels``, ``classes`` met and ``accuracy`` at each step, of each seed."""
    from worker.simulate import SimulateOptions, run_seed
    from worker.simulated_pool import Bench

    found = []
    bench: Bench | None = None
    plan = PLANS[name]
    options = SimulateOptions(
        initial=plan.first, batch=plan.step, budget=plan.first + (steps - 1) * plan.step, encoder="none", student="none"
    )
    for seed in range(seeds):
        file = folder / "unseen" / f"{name}.{variant}.{names}.{seed}.{steps}.{code_digest()}.json"
        if not file.exists():
            if bench is None:
                data = label_set(name, variant, folder / "features", names=names)
                bench = Bench.of(data.pool, data.test, options, encoded=data.encoded, class_vectors=data.class_vectors)
            run = run_seed(bench, options, seed)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({
                "labels": run["labels"],
                "classes": classes_met(bench.y, run["queries"]),
                "accuracy": run["accuracy"],
            }))  # fmt: skip
        found.append(json.loads(file.read_text()))
    return found


def classes_met(y: np.ndarray, queries: list[list[int]]) -> list[int]:
    """How many classes the rows of the batches are of, after each batch.

    >>> classes_met(np.array([2, 2, 0, 1]), [[0, 1], [3]])
    [1, 2]
    """
    met: set[int] = set()
    counts = []
    for batch in queries:
        met |= set(y[batch].tolist())
        counts.append(len(met))
    return counts


def row(name: str, variant: str, names: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds: classes met after the first batches, the accuracy there, and that over all steps."""
    shown = [step - 1 for step in _SHOWN if step <= len(found[0]["labels"])]
    classes = np.mean([run["classes"] for run in found], axis=0)[shown]
    accuracy = np.array([run["accuracy"] for run in found])
    means = accuracy.mean(axis=1)
    return {
        "set": name,
        "variant": variant,
        "names": names,
        "seeds": len(found),
        "labels": " ".join(str(found[0]["labels"][at]) for at in shown),
        "classes": " ".join(f"{value:.1f}" for value in classes),
        "accuracy": " ".join(f"{value:.3f}" for value in accuracy.mean(axis=0)[shown]),
        "mean_accuracy": round(float(means.mean()), 4),
        "least": round(float(means.min()), 4),
        "most": round(float(means.max()), 4),
    }


def main() -> None:
    """Run what is missing, printing each row as it is there, and all of them at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.unseen_classes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    choices = [f"{name}/{variant}" for name in TEXTS for variant in VARIANTS if has_variant(name, variant)]
    parser.add_argument("--sets", nargs="+", choices=choices, default=list(SETS))
    parser.add_argument("--names", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    rows = []
    for wanted in options.sets:
        name, variant = wanted.split("/")
        for names in options.names:
            found = runs(name, variant, names, options.seeds, options.steps, options.out)
            rows.append(row(name, variant, names, found))
            print(json.dumps(rows[-1]), flush=True)
    print(as_text({"rows": rows}))


if __name__ == "__main__":
    main()
