"""Where first labels should go, by the number of classes: to clusters (TypiClust), or to what covers most (herding).

``python -m bench.class_counts --out FOLDER [--sets banking77] [--classes 2 4 8 10 15] [--draws 2] [--seeds 4]`` draws
so many classes of a set and has ``auto`` begin either way, then cover what its model doubts: twelve batches of as many
labels as there are classes, ten at least. Features are kept in FOLDER, where they are encoded once.
``WINNOW_BENCH_DATA`` names the data.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from bench.label_sets import PLANS, LabelSet, label_set, some_classes
from bench.report import as_text
from bench.tuned_constants import overridden

STARTS = {"typiclust": {"FEW_CLASSES": 0.0, "MANY_CLASSES": 2.0}, "herding": {"FEW_CLASSES": 0.0, "MANY_CLASSES": 1e6}}
"""Values of the constants of ``auto`` with which it begins so, whatever the number of classes."""
_BATCHES = 12
_LEAST_BATCH = 10


def mean_accuracies(made: LabelSet, n_classes: int, seeds: int) -> dict[str, float]:
    """Mean accuracy over the steps and seeds of each start.

    Args:
        made: A set with so many classes.
        n_classes: They decide how large a batch is.
        seeds: Runs of each start.

    Returns:
        By the name of the start.
    """
    from worker.simulate import SimulateOptions, run_seed
    from worker.simulated_pool import Bench

    batch = max(_LEAST_BATCH, n_classes)
    options = SimulateOptions(
        initial=batch, batch=batch, budget=_BATCHES * batch, seeds=seeds, baseline="none", student="none"
    )
    bench = Bench.of(made.pool, made.test, options, encoded=made.encoded)
    found = {}
    for start, values in STARTS.items():
        with ExitStack() as changed:
            for name, value in values.items():
                changed.enter_context(overridden(name, value))
            curves = [run_seed(bench, options, seed)["accuracy"] for seed in range(seeds)]
        found[start] = float(np.mean(curves))
    return found


def rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each set, number of classes and draw that is another than those before."""
    found = []
    for name in options.sets:
        whole = label_set(name, "plain", options.out / "features")
        n_all = len(set(whole.pool.labels))
        for n_classes in sorted({min(n, n_all) for n in options.classes}):
            seen: set[frozenset[str]] = set()
            for draw in range(options.draws):
                some = some_classes(whole, n_classes, draw)
                classes = frozenset(some.pool.labels)
                if classes in seen:
                    continue
                seen.add(classes)
                means = mean_accuracies(some, n_classes, options.seeds)
                row: dict[str, Any] = {"set": name, "classes": n_classes, "draw": draw, "seeds": options.seeds}
                row |= {start: round(mean, 4) for start, mean in means.items()}
                row["difference"] = round(means["typiclust"] - means["herding"], 4)
                found.append(row)
                print(json.dumps(row), flush=True)
    return found


def main() -> None:
    """Run, printing each row as it is there, and all of them at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.class_counts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=list(PLANS), default=["banking77"])
    parser.add_argument("--classes", nargs="+", type=int, default=[2, 4, 8, 10, 15])
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    print(as_text({"rows": rows(options)}))


if __name__ == "__main__":
    main()
