"""Learning curves in pieces: one file for each set, strategy and seed, so that a long table is built bit by bit."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.label_sets import PLANS, label_set
from bench.tuned_constants import overridden

if TYPE_CHECKING:
    from worker.simulate import SimulateOptions
    from worker.simulated_pool import Bench

ROOT = Path(__file__).parents[1]
_CODE = ("sampler", "models", "worker")
STUDENT_GROWTH = 1.25
"""A student is trained when labels have grown by this: one at each step would take ten times as long as all else."""


@dataclass(frozen=True)
class Cell:
    """What is run once.

    Attributes:
        set: One of `bench.label_sets.PLANS`.
        variant: One of `bench.label_sets.VARIANTS`.
        strategy: A query strategy.
        features: ``extras``: what has spread over the graph of neighbours is there to be chosen; ``raw``: it is not.
        seed: Of the run.
        student: ``none`` or ``auto``, as in `worker.simulate.SimulateOptions`.
        constant: One of `bench.tuned_constants.GRIDS` that is changed; empty for none.
        value: What to.
    """

    set: str
    variant: str
    strategy: str
    features: str
    seed: int
    student: str = "none"
    constant: str = ""
    value: float | None = None

    @property
    def file(self) -> str:
        """The name of its file."""
        parts = [self.set, self.variant, self.strategy.replace(":", "-"), self.features, str(self.seed)]
        parts += ["student"] if self.student != "none" else []
        parts += [f"{self.constant}={self.value:g}"] if self.value is not None else []
        return ".".join(parts) + ".json"


def cells_in(folder: Path) -> list[dict[str, Any]]:
    """What has been run, in the order of the files' names: the fields of `Cell`, and those that `run_cells` adds."""
    return [json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))]


def cell_of(record: dict[str, Any]) -> Cell:
    """The cell that a record is of."""
    return Cell(**{field.name: record[field.name] for field in fields(Cell)})


def missing(cells: Iterable[Cell], folder: Path, budget: dict[Cell, int], *, again: bool = False) -> list[Cell]:
    """Those that have not been run, or not up to their budget; with ``again`` also those that older code ran."""
    left = []
    for cell in cells:
        path = folder / "cells" / cell.file
        record = json.loads(path.read_text()) if path.exists() else None
        if record is None or record["budget"] < budget[cell] or (again and record["code"] != code_digest()):
            left.append(cell)
    return left


def run_cells(cells: Iterable[Cell], folder: Path, budget: dict[Cell, int]) -> Iterator[dict[str, Any]]:
    """Run and keep cells; those of one set, variant and constant share what is made ready for them.

    Yields:
        A record each: the fields of `Cell`, ``budget``, ``code``, ``n_pool``, ``n_test``, ``n_classes``,
        ``full_pool_accuracy``, ``cpu_seconds`` of the whole loop, and ``run`` as in ``seeds`` of the contract.
    """
    from sampler.threads import single_thread
    from worker.simulate import run_seed

    ready: tuple[Any, ...] = ()
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for cell in sorted(cells, key=_group):
        if not ready or ready[0] != _group(cell):
            ready = (_group(cell), *_made_ready(cell, folder))
        _, bench, noise, full = ready
        options = replace(_options(cell, noise), budget=budget[cell])
        with overridden(cell.constant, cell.value), single_thread():
            began = time.process_time()
            run = run_seed(bench if cell.features == "extras" else bench.without_diffusion(), options, cell.seed)
            spent = time.process_time() - began
        record = {
            **asdict(cell),
            "budget": budget[cell],
            "code": code_digest(),
            "n_pool": len(bench.y),
            "n_test": len(bench.test_y),
            "n_classes": bench.n_classes,
            "full_pool_accuracy": full,
            "cpu_seconds": round(spent, 3),
            "run": run,
        }
        part = folder / "cells" / f"{cell.file}.part"
        part.write_text(json.dumps(record))
        part.replace(folder / "cells" / cell.file)
        yield record


def plan_budget(cell: Cell, *, short: bool) -> int:
    """Where a cell ends: at the end of the plan's span where ``short``."""
    plan = PLANS[cell.set]
    if short:
        return plan.span
    return plan.random_budget if cell.strategy == "random" else plan.budget


@cache
def code_digest(packages: tuple[str, ...] = _CODE) -> str:
    """Eight digits that change with any source of what is measured."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _group(cell: Cell) -> tuple[str, ...]:
    return cell.set, cell.variant, cell.student, cell.constant, str(cell.value)


def _options(cell: Cell, noise: float) -> SimulateOptions:
    from worker.simulate import SimulateOptions

    plan = PLANS[cell.set]
    return SimulateOptions(
        strategy=cell.strategy,
        initial=plan.first,
        batch=plan.step,
        schedule=plan.then,
        encoder="none",
        student=cell.student,
        student_growth=STUDENT_GROWTH,
        noise=noise,
    )


def _made_ready(cell: Cell, folder: Path) -> tuple[Bench, float, float]:
    """The encoded set, the share of wrong answers, and the accuracy with all labels and nothing overridden."""
    from worker.simulated_pool import Bench

    data = label_set(cell.set, cell.variant, folder / "features", with_items=cell.student != "none")
    with overridden(cell.constant, cell.value):
        bench = Bench.of(
            data.pool, data.test, _options(cell, data.noise), encoded=data.encoded, class_vectors=data.class_vectors
        )
    kept, code = folder / "full" / f"{cell.set}.{cell.variant}.json", code_digest(("models",))
    if not kept.exists() or json.loads(kept.read_text())["code"] != code:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"accuracy": bench.full_pool(), "code": code}))
    return bench, data.noise, float(json.loads(kept.read_text())["accuracy"])


def curve(
    record: dict[str, Any], which: str = "accuracy", until: int | None = None
) -> tuple[list[int], NDArray[np.float64]]:
    """Labels and ``accuracy`` (or another of a run's curves), (steps,), up to ``until``, at the steps that have it."""
    run = record["run"]
    known = [
        (labels, value)
        for labels, value in zip(run["labels"], run[which], strict=True)
        if value is not None and (until is None or labels <= until)
    ]
    return [labels for labels, _ in known], np.array([value for _, value in known])
