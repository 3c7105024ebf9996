"""Other libraries' own loops over the same pool as ours: what they buy, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from bench.label_sets import Plan
from bench.peer_loops import LOOPS, run_loop, run_ours, summary
from worker.dataset import Dataset
from worker.simulate import SimulateOptions
from worker.simulated_pool import Bench

PLAN = Plan(first=6, step=6, then=((18, 12),), span=18, budget=30, random_budget=30)
QUICK = [loop for loop in LOOPS if "TypiClust" not in loop and "Badge" not in loop]


@pytest.fixture(scope="module")
def bench() -> Bench:
    def part(n: int, seed: int) -> Dataset:
        rng = np.random.default_rng(seed)
        y = np.arange(n) % 3
        X = (np.eye(3, 6)[y] * 3.0 + rng.normal(size=(n, 6))).astype(np.float32)
        return Dataset("features", X, tuple(str(label) for label in y))

    return Bench.of(part(150, 0), part(90, 1), SimulateOptions())


@pytest.fixture(params=[*QUICK, "scikit-activeml TypiClust", "scikit-activeml Badge"])
def loop(request: pytest.FixtureRequest) -> str:
    if not request.param.startswith("modAL"):
        pytest.importorskip("small_text" if request.param.startswith("small") else "skactiveml")
    return str(request.param)


def test_each_peer_buys_by_the_plan_and_learns(loop: str, bench: Bench) -> None:
    run = run_loop(loop, bench, PLAN, 0, np.arange(6))
    assert run["labels"] == [6, 12, 18, 30]
    assert run["accuracy"][-1] > 0.8
    assert run["cpu_seconds"] == sorted(run["cpu_seconds"])
    again = run_loop(loop, bench, PLAN, 0, np.arange(6))
    assert again["accuracy"] == run["accuracy"]


def test_the_first_batch_of_all_is_the_one_that_is_handed_in(bench: Bench) -> None:
    starts = {run_loop(loop, bench, PLAN, 0, np.arange(60, 66))["accuracy"][0] for loop in LOOPS if "modAL" in loop}
    assert len(starts) == 1
    others = run_loop("modAL margin", bench, PLAN, 0, np.arange(6))["accuracy"][0]
    assert starts != {others}


def test_ours_ends_where_they_do(bench: Bench) -> None:
    run = run_ours(bench, PLAN, 0)
    assert run["labels"] == [6, 12, 18, 30]
    assert len(run["cpu_seconds"]) == 1


def test_margins_are_the_same_whoever_computes_them(bench: Bench) -> None:
    pytest.importorskip("small_text")
    pytest.importorskip("skactiveml")
    loops = ("modAL margin", "small-text breaking ties", "scikit-activeml margin")
    curves = [run_loop(loop, bench, PLAN, 0, np.arange(6))["accuracy"] for loop in loops]
    assert curves[0] == curves[1] == curves[2]


def test_a_row_holds_what_its_runs_say() -> None:
    runs = [
        {"set": "mnist10k", "loop": "modAL margin", "seed": seed, "full_pool_accuracy": 1.0,
         "run": {"labels": [200, 400, 600], "accuracy": [low, 0.9, 1.0], "cpu_seconds": [1.0, 2.0, seconds]}}
        for seed, (low, seconds) in enumerate(((0.5, 3.0), (0.7, 5.0)))
    ]  # fmt: skip
    [row] = summary(runs)
    assert (row["seeds"], row["bought"], row["cpu_seconds"]) == (2, 600, 4.0)
    assert row["labels_95"] == pytest.approx(500.0)
    assert row["mean_accuracy"] == pytest.approx(0.75)
    assert row["standard_error"] == pytest.approx(0.05)
