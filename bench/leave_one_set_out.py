"""What it costs that the constants of ``auto`` were chosen on other sets than the one at hand.

``python -m bench.leave_one_set_out --out FOLDER [--sets …] [--constants …] [--seeds 1]`` runs ``auto`` with each
value of each constant, the others at their defaults, as far as the folder lacks it; ``--report`` prints, for each
constant and set, the value that is best on the other sets, what it gives on this one, and how far that is from the
best value there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.label_cells import Cell, cell_of, cells_in, missing, plan_budget, run_cells
from bench.label_report import areas
from bench.label_sets import GROUPS, PLANS, named_sets
from bench.report import as_text
from bench.tuned_constants import GRIDS

_AUTO = Cell("", "plain", "auto", "extras", 0)


def wanted(sets: Iterable[str], constants: Iterable[str], seeds: int) -> list[Cell]:
    """The default once, and each other value of each constant, for each set and seed."""
    cells = []
    for name in sets:
        for seed in range(seeds):
            default = replace(_AUTO, set=name, seed=seed)
            cells.append(default)
            for constant in constants:
                grid = GRIDS[constant]
                others = (value for value in grid.values if value != grid.default)
                cells += [replace(default, constant=constant, value=float(value)) for value in others]
    return cells


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each constant and set that has been run: mean accuracies, over the seeds that all values have.

    ``chosen`` is the value of the largest mean accuracy over the other sets, ``best`` that on this set, of equals the
    default; ``loss`` is how much more the best one gives here than the chosen, ``loss_of_default`` than the default.
    """
    found: dict[str, dict[str, dict[float, float]]] = {}
    for constant, grid in GRIDS.items():
        for name in PLANS:
            means = _by_value(records, constant, grid.default, name)
            if set(means) == {float(value) for value in grid.values}:
                found.setdefault(constant, {})[name] = means
    rows = []
    for constant, sets in found.items():
        for name, means in sets.items():
            others = [other for other in sets if other != name]
            if not others:
                continue
            default = GRIDS[constant].default
            values = sorted(means, key=lambda value: value != default)  # of equals the default
            chosen = max(values, key=lambda value: sum(sets[other][value] for other in others))
            best = max(values, key=lambda value: means[value])
            rows.append(
                {
                    "constant": constant,
                    "set": name,
                    "default": default,
                    "chosen": chosen,
                    "best": best,
                    "by_default": means[default],
                    "by_chosen": means[chosen],
                    "by_best": means[best],
                    "loss": means[best] - means[chosen],
                    "loss_of_default": means[best] - means[default],
                    "seeds": _seeds(records, constant, default, name),
                }
            )
    return rows


def _runs(records: list[dict[str, Any]], constant: str, default: float, name: str) -> dict[float, dict[int, Any]]:
    """By value, then by seed; the default's are those with nothing changed."""
    found: dict[float, dict[int, Any]] = {}
    for record in records:
        cell = cell_of(record)
        if replace(cell, seed=0, constant="", value=None) != replace(_AUTO, set=name):
            continue
        if cell.constant in ("", constant):
            value = default if cell.value is None else cell.value
            found.setdefault(value, {})[cell.seed] = record
    return found


def _shared(runs: dict[float, dict[int, Any]]) -> list[int]:
    return sorted(set.intersection(*(set(by_seed) for by_seed in runs.values()))) if runs else []


def _seeds(records: list[dict[str, Any]], constant: str, default: float, name: str) -> int:
    return len(_shared(_runs(records, constant, default, name)))


def _by_value(records: list[dict[str, Any]], constant: str, default: float, name: str) -> dict[float, float]:
    runs = _runs(records, constant, default, name)
    seeds = _shared(runs)
    return {value: float(np.mean(areas([by[seed] for seed in seeds]))) for value, by in runs.items() if seeds}


def main() -> None:
    """Run what is missing, or report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.leave_one_set_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=[*GROUPS, *PLANS], default=["real"])
    parser.add_argument("--constants", nargs="+", choices=list(GRIDS), default=list(GRIDS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.report:
        cells = wanted(named_sets(options.sets), options.constants, options.seeds)
        budget = {cell: plan_budget(cell, short=True) for cell in cells}
        left = missing(cells, options.out, budget)
        print(f"{len(cells)} cells, {len(left)} to run", flush=True)
        began = time.perf_counter()
        for record in run_cells(left, options.out, budget):
            what = f"{record['constant']}={record['value']}"
            print(record["set"], what, record["seed"], f"{time.perf_counter() - began:.0f} s so far", flush=True)
    result = {"constants": summary(cells_in(options.out))}
    print(json.dumps(result) if options.json else as_text(result))


if __name__ == "__main__":
    main()
