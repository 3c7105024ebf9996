"""The constants that the default strategy and its teacher rest on, and the values that each is tried at."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """A constant, where it is, what it decides, and the values that it is tried at, the default among them."""

    module: str
    name: str
    decides: str
    values: tuple[float, ...]

    @property
    def default(self) -> float:
        """The value that it has in the source."""
        return float(getattr(importlib.import_module(self.module), self.name))


GRIDS = {
    grid.name: grid
    for grid in (
        Grid("sampler.coldstart", "DOUBT_LABELS", "labels from which on doubts are covered", (10, 20, 40)),
        Grid("sampler.coldstart", "DOUBT_LABELS_PER_CLASS", "the same, for each class", (1, 2, 4)),
        Grid("sampler.coldstart", "TYPICALITY_NEIGHBOURS", "neighbours that say how typical a row is", (10, 20, 40)),
        Grid("sampler.coldstart", "SMALLEST_CLUSTER", "rows below which a cluster comes last", (2, 5, 10)),
        Grid("sampler.strategies.auto", "FEW_CLASSES", "classes up to which TypiClust begins", (0, 2, 3)),
        Grid("sampler.strategies.auto", "MANY_CLASSES", "classes from which on TypiClust begins", (2, 5, 10, 1_000)),
        Grid("sampler.strategies.herding", "SPREAD", "bandwidth of the kernel", (0.5, 1.0, 2.0)),
        Grid("sampler.strategies.uncertainty_herding", "COVER_ROWS", "rows that doubts are covered on", (2_048, 4_096)),
        Grid("sampler.coverage", "EVENNESS", "how steeply hubs even out the kernel of doubts", (1.0, 3.0, 10.0)),
        Grid("sampler.strategies.unseen", "SEEK_SHARE", "share of a batch that looks for classes", (0.5, 0.75, 1.0)),
        Grid("sampler.strategies.unseen", "PROBE_SHARE", "the same before names have shown anything", (0.0, 0.25, 0.5)),
        Grid("sampler.strategies.unseen", "LEAST_TRUST", "how likely a name must be right", (0.3, 0.5, 0.7)),
        Grid("sampler.class_names", "NAME_TEMPERATURE", "how sharply names share an item", (0.02, 0.05, 0.1)),
        Grid("sampler.class_names", "NAME_NEAR", "nearness from which names are tried unproved", (0.7, 0.8, 0.9)),
        Grid("sampler.diffusion", "NEIGHBOURS", "neighbours in the graph", (5, 10, 20)),
        Grid("sampler.diffusion", "RESTART", "chance that the walk goes back", (0.05, 0.1, 0.2)),
        Grid("sampler.diffusion", "STEPS", "steps of the walk", (10, 20, 40)),
        Grid("models.regularisation", "DEFAULT_C", "C that wins ties", (10.0, 30.0, 100.0)),
        Grid("models.teachers", "REGROWTH", "growth after which C and view are chosen again", (1.15, 1.3, 1.6)),
    )
}


@contextmanager
def overridden(name: str, value: float | None) -> Iterator[None]:
    """Inside, the constant called ``name`` has another value; nothing changes where it is empty.

    Raises:
        KeyError: `GRIDS` has none of that name.
    """
    if not name or value is None:
        yield
        return
    grid = GRIDS[name]
    module = importlib.import_module(grid.module)
    before = getattr(module, grid.name)
    setattr(module, grid.name, type(before)(value))
    try:
        yield
    finally:
        setattr(module, grid.name, before)
