"""What each query strategy costs on made-up features, beside each library that has it, on the same rows in one run."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.rank_process import OVER_LIMIT, OVER_MEMORY, RankProcess, Terms

#: How many times faster than the best peer; 1 is never slower.
TARGETS = {
    "vote_entropy": 4.0,
    "kl_max": 3.0,
    "bald": 2.5,
    "coreset": 20.0,
    "badge": 600.0,
    "kmeans": 80.0,
    "typiclust": 5.0,
    "ranked_batch": 150.0,
    "density": 300.0,
    "entropy": 1.3,
    "margin": 1.0,
}

SKIPPED = "skipped: "


def measure(
    sizes: Sequence[int],
    classes: Sequence[int],
    *,
    dim: int = 384,
    batch: int = 100,
    repeat: int = 3,
    threads: int = 1,
    strategies: Sequence[str] | None = None,
    peers: bool = True,
    limit: float = 5.0,
    memory_gb: float = 8.0,
) -> dict[str, Any]:
    """Time every strategy for every number of rows and of classes.

    A timing is the whole of what a ranking takes once models are fitted: predictions (of all members, for a committee;
    none where only features are looked at), scores, the first ``batch``. The ratio is the best peer's CPU time over
    ours, with the limit in its place where no peer kept to it. A peer that passed a limit is not asked about a pool
    that is no smaller and has no fewer classes, but said to be skipped, and where it failed: begin with small ones.

    Args:
        sizes: Rows of the pool.
        classes: Classes of the pool.
        dim: Length of a row.
        batch: How many rows are asked for.
        repeat: Runs for the clock, whose median counts; one more watches the memory.
        threads: Of BLAS, and of our predictions.
        strategies: Which of ours; all where None.
        peers: Whether the others are timed too.
        limit: Seconds for each ranking, all its runs together.
        memory_gb: What a process may hold.

    Raises:
        UnknownStrategy: There is no strategy of that name.
    """
    from bench.rank_ours import PREDICT
    from sampler.strategies import get_strategy, strategy_names

    names = [get_strategy(name).name for name in strategies] if strategies else list(strategy_names())
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    failures = Failures()
    for rows, n_classes in itertools.product(sizes, classes):
        with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
            from bench.rank_pool import make_pool

            make_pool(Path(folder), rows, dim, n_classes)
            terms = Terms(Path(folder), batch, repeat, threads, limit, memory_gb)
            place = {"rows": rows, "classes": n_classes}
            with RankProcess("ours", terms) as process:
                costs = {name: process.cost(name) for name in [PREDICT, *names]}
            beside = _beside(names, terms, failures, rows, n_classes) if peers else {}
        ours += [place | _row(name, cost, beside.get(name, {}), limit) for name, cost in costs.items()]
        theirs += [
            place | {"strategy": name, "peer": peer} | _cells(cost)
            for name, costs_of in beside.items()
            for peer, cost in costs_of.items()
        ]
    result: dict[str, Any] = {"dim": dim, "batch": batch, "threads": threads, "limit_seconds": limit}
    return result | {"strategies": ours} | ({"peers": theirs} if peers else {})


class Failures:
    """Which peers could not rank which pools: larger ones are not tried, since each would take the whole limit.

    >>> failures = Failures()
    >>> failures.note("a", 1_000, 10, {"failed": "over limit"})
    >>> failures.known("a", 2_000, 10), failures.known("a", 2_000, 5)
    ({'failed': 'skipped: over limit at 1,000 rows, 10 classes'}, None)
    """

    def __init__(self) -> None:
        self._seen: list[tuple[str, int, int, str]] = []

    def note(self, peer: str, rows: int, classes: int, cost: dict[str, Any]) -> None:
        """Remember a cost that is none because the peer took too long or too much."""
        if cost.get("failed") in (OVER_LIMIT, OVER_MEMORY):
            self._seen.append((peer, rows, classes, cost["failed"]))

    def known(self, peer: str, rows: int, classes: int) -> dict[str, Any] | None:
        """What stands for the cost of a pool that the peer need not be asked about; None where it must be."""
        for name, n, c, why in self._seen:
            if name == peer and n <= rows and c <= classes:
                return {"failed": f"{SKIPPED}{why} at {n:,} rows, {c} classes"}
        return None


def _beside(
    names: Sequence[str], terms: Terms, failures: Failures, rows: int, classes: int
) -> dict[str, dict[str, dict[str, Any]]]:
    from bench.rank_peers import PEERS

    with RankProcess("peers", terms) as process:

        def cost(peer: str) -> dict[str, Any]:
            known = failures.known(peer, rows, classes)
            found = process.cost(peer) if known is None else known
            failures.note(peer, rows, classes, found)
            return found

        return {name: {peer: cost(peer) for peer in PEERS[name]} for name in names if name in PEERS}


def _row(name: str, cost: dict[str, Any], beside: dict[str, dict[str, Any]], limit: float) -> dict[str, Any]:
    stored = cost.get("stored") or {}
    row = {"strategy": name} | _cells(cost)
    row |= {"stored_wall_ms": stored.get("wall_ms"), "stored_cpu_ms": stored.get("cpu_ms")}
    row |= {"stored_extra_mb": stored.get("extra_mb")}
    return row | ratio(cost, beside, limit, TARGETS.get(name))


def _cells(cost: dict[str, Any]) -> dict[str, Any]:
    failed = cost.get("failed")
    return {"wall_ms": failed or cost["wall_ms"], "cpu_ms": cost.get("cpu_ms"), "extra_mb": cost.get("extra_mb")}


def ratio(
    cost: dict[str, Any], beside: dict[str, dict[str, Any]], limit: float, target: float | None
) -> dict[str, Any]:
    """How many times our CPU time the best peer takes, which one, and whether that is what is aimed at.

    ``at_least`` is true where no peer kept to the limit, which then stands for the best of them.

    >>> ratio({"cpu_ms": 2.0}, {"a": {"cpu_ms": 9.0}, "b": {"cpu_ms": 8.0}}, 1.0, 3.0)["times"]
    4.0
    """
    measured = {peer: c["cpu_ms"] for peer, c in beside.items() if "cpu_ms" in c}
    late = [p for p, c in beside.items() if str(c.get("failed")).removeprefix(SKIPPED).startswith(OVER_LIMIT)]
    found: dict[str, Any] = {"best_peer": None, "times": None, "at_least": None, "target": target, "met": None}
    if not cost.get("cpu_ms") or not (measured or late):
        return found
    best = min(measured, key=lambda peer: measured[peer]) if measured else late[0]
    times = (measured[best] if measured else 1e3 * limit) / cost["cpu_ms"]
    found |= {"best_peer": best, "times": times, "at_least": not measured}
    if target is not None:
        # A limit that was passed shows only that the ratio is larger.
        found["met"] = True if times >= target else (False if measured else None)
    return found
