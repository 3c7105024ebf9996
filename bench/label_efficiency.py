"""Labels that each strategy needs, beside random sampling: run in pieces, kept in a folder, reported from there.

``python -m bench.label_efficiency --out FOLDER [--sets …] [--strategies auto random random/raw …] [--seeds N]
[--variant V …] [--student auto] [--short | --budget N] [--again]`` runs the cells that the folder lacks. An arm is
the name of a strategy, with the features that teachers may choose from, or ``NAME/raw`` with raw features only;
``all`` is every strategy of our own. ``--sets`` takes names, ``real`` (the default) and ``unlike``: sets that need no
download (`bench.made_sets`). ``--report`` prints what the folder holds and runs nothing. ``WINNOW_BENCH_DATA`` names
the data.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from bench.label_cells import Cell, cells_in, missing, plan_budget, run_cells
from bench.label_report import savings, summary
from bench.label_sets import GROUPS, PLANS, VARIANTS, has_variant, named_sets
from bench.never_below import comparisons
from bench.report import as_text


def arms(names: list[str]) -> list[tuple[str, str]]:
    """Strategy and features of each arm.

    >>> arms(["auto", "random/raw"])
    [('auto', 'extras'), ('random', 'raw')]
    """
    from sampler.strategies import strategy_names

    listed = [known for name in names for known in (strategy_names() if name == "all" else (name,))]
    return [(name.removesuffix("/raw"), "raw" if name.endswith("/raw") else "extras") for name in listed]


def wanted(options: argparse.Namespace) -> list[Cell]:
    """The cells that the options ask for; seeds last, so that all arms of a set share what is made ready."""
    return [
        Cell(name, variant, strategy, features, seed, options.student)
        for name in named_sets(options.sets)
        for variant in options.variant
        if has_variant(name, variant)
        for seed in range(options.first_seed, options.seeds)
        for strategy, features in arms(options.strategies)
    ]


def main() -> None:
    """Run what is missing, or report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.label_efficiency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", choices=[*GROUPS, *PLANS], default=["real"])
    parser.add_argument("--strategies", nargs="+", default=["auto", "random", "random/raw"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--variant", nargs="+", choices=VARIANTS, default=["plain"])
    parser.add_argument("--student", choices=("none", "auto"), default="none")
    parser.add_argument("--short", action="store_true", help="end where the mean accuracy does")
    parser.add_argument("--budget", type=int, help="end after so many labels instead of where the set's plan says")
    parser.add_argument("--again", action="store_true", help="run again what other code has run")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.report:
        records = cells_in(options.out)
        result = {"arms": summary(records), "savings": savings(records), "never below random": comparisons(records)}
        print(json.dumps(result) if options.json else as_text(result))
        return
    cells = wanted(options)
    budget = {cell: options.budget or plan_budget(cell, short=options.short) for cell in cells}
    left = missing(cells, options.out, budget, again=options.again)
    print(f"{len(cells)} cells, {len(left)} to run", flush=True)
    began = time.perf_counter()
    for record in run_cells(left, options.out, budget):
        took = f"{record['cpu_seconds']:.1f} CPU-s, {time.perf_counter() - began:.0f} s so far"
        print(*(record[key] for key in ("set", "variant", "strategy", "features", "seed")), took, flush=True)


if __name__ == "__main__":
    main()
