"""The page on query strategies: what it says of each, and that its tables hold what was kept."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.figures import learning_curves
from bench.label_sets import PLANS
from bench.leave_one_set_out import summary as left_out
from bench.leave_one_set_out import wanted
from bench.strategies_doc import figures, page
from bench.strategy_guide import COSTS, GUIDE
from sampler.strategies import get_strategy, strategy_names
from tests.bench.records import record

SPAN = PLANS["mnist10k"].span


def kept(strategy: str, features: str, seed: int, accuracy: list[float], **more: Any) -> dict[str, Any]:
    return record("mnist10k", strategy, features, seed, [100, 200, SPAN, 600], accuracy, **more)


RECORDS = [
    kept("auto", "extras", 0, [0.92, 0.96, 0.98]),
    kept("auto", "extras", 1, [0.90, 0.98, 0.98]),
    kept("margin", "extras", 0, [0.80, 0.90, 0.94]),
    *(kept("random", "extras", seed, [0.75, 0.85, 0.95, 0.96]) for seed in (0, 1)),
    *(kept("random", "raw", seed, [0.70, 0.80, 0.90, 0.92]) for seed in (0, 1)),
]
PEERS = [
    {"set": "mnist10k", "loop": "modAL margin", "seed": 0, "full_pool_accuracy": 1.0,
     "run": {"labels": [200, SPAN], "accuracy": [0.7, 0.9], "cpu_seconds": [0.5, 1.25]}},
]  # fmt: skip


def rows_of(text: str, first: str) -> list[list[str]]:
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [cells for cells in found if cells[0] == first]


def test_there_is_advice_on_each_strategy_and_on_nothing_else() -> None:
    assert set(GUIDE) == set(strategy_names())
    assert {advice.cost for advice in GUIDE.values()} == set(COSTS)
    for name in strategy_names():
        assert inspect.getdoc(getattr(get_strategy(name), "body", None)), f"{name} does not say what it does"


def test_the_page_lists_each_strategy_even_before_anything_is_measured() -> None:
    text = page([], [], "images")
    for name in strategy_names():
        [[_, does, cost, when]] = rows_of(text, f"`{name}`")
        assert does
        assert (cost, when) == (COSTS[GUIDE[name].cost], GUIDE[name].when)
    assert "## " not in text


def test_the_tables_hold_what_was_kept() -> None:
    text = page(RECORDS, PEERS, "images")
    measured = text.split("## Measured")[1].split("## What")[0]
    # The mean curve reaches .95 between 100 labels (.91) and 200 (.97): single seeds do at 175 and at 162.5.
    assert rows_of(measured, "`auto`") == [
        ["`auto`", "2", "167 (162 to 175)", "400 (200 to 400)", ".9533 ± .0000", "250"]
    ]
    assert rows_of(measured, "`margin`") == [["`margin`", "1", "> 400", "> 400", ".8800", "250"]]
    assert rows_of(measured, "`random`")[0][2:4] == ["400 (400 to 400)", "> 600"]
    order = [line.split("`")[1] for line in measured.splitlines() if line.startswith("| `")]
    assert order == ["auto", "margin", "random", "random/raw"]
    [saved] = rows_of(text.split("## What")[1].split("## The same")[0], "mnist10k")
    assert saved[4:10] == ["≥ 72 %", "58 %", "≥ 33 %", "≥ 33 %", "≥ 33 %", "–"]
    [peer] = rows_of(text.split("## The same")[1], "mnist10k")
    assert peer[1:] == ["modAL margin", "1", "> 400", "> 400", ".8000", "1.25", "400"]
    assert "![Learning curves on mnist10k](images/curves-mnist10k.svg)" in text


def test_of_harder_variants_their_own_table_speaks() -> None:
    text = page([{**kept, "variant": "noise10"} for kept in RECORDS], [], "images")
    assert "## Measured" not in text
    [row] = rows_of(text.split("## Harder variants")[1], "mnist10k")
    assert row[1:4] == ["noise10", "teacher", "2"]
    assert row[-2:] == ["+0.103 ± 0.000", "+0.030"]


def test_sets_that_are_unlike_the_real_ones_have_a_table_of_their_own() -> None:
    made = [{**kept, "set": "large"} for kept in RECORDS]
    assert "## Measured" not in page(made, [], "images")
    section = page(RECORDS + made, [], "images").split("## Never below random")[1]
    [row] = rows_of(section, "large")
    assert row[2:4] == ["2", ".750"]
    assert rows_of(section, "mnist10k")[0][1] == "a real set"
    assert "below" not in "".join(row)


def test_a_constant_is_chosen_where_it_is_not_tried() -> None:
    """Fives would be chosen by the other set, twenties are best here."""
    means = {"agnews": {5.0: 0.5, 10.0: 0.6, 20.0: 0.7}, "mnist10k": {5.0: 0.9, 10.0: 0.8, 20.0: 0.7}}
    records = [
        record(cell.set, "auto", "extras", 0, [100], [means[cell.set][cell.value or 10.0]], constant=cell.constant,
               value=cell.value)
        for cell in wanted(means, ["NEIGHBOURS"], 1)
    ]  # fmt: skip
    assert len(records) == 6
    by_set = {row["set"]: row for row in left_out(records)}
    assert set(by_set) == {"agnews", "mnist10k"}
    row = by_set["agnews"]
    assert (row["constant"], row["default"], row["chosen"], row["best"]) == ("NEIGHBOURS", 10.0, 5.0, 20.0)
    assert row["loss"] == pytest.approx(0.2)
    assert row["loss_of_default"] == pytest.approx(0.1)
    assert by_set["mnist10k"]["loss"] == pytest.approx(0.2)
    equal = [{**made, "run": {**made["run"], "accuracy": [0.5]}} for made in records]
    assert {(row["chosen"], row["best"]) for row in left_out(equal)} == {(10.0, 10.0)}
    assert left_out(records[:-1]) == []  # a grid that is not complete on a set says nothing of it


def test_figures_show_the_arms_and_are_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("one", "two"):
        figures(RECORDS, tmp_path / folder)
    drawn = (tmp_path / "one" / "curves-mnist10k.svg").read_text()
    assert drawn == (tmp_path / "two" / "curves-mnist10k.svg").read_text()
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["curves-mnist10k.svg"]
    for name in (
        "auto (2 seeds)",
        "random, raw features (2 seeds)",
        "margin (1 seed)",
        "95 % of the accuracy with all labels",
    ):
        assert f">{name}<" in drawn
    learning_curves(tmp_path / "flat.svg", "flat", {"one": ([10], np.array([[0.5]]))}, {})
    assert (tmp_path / "flat.svg").read_text().startswith("<?xml")


def test_students_have_a_table_of_their_own() -> None:
    run = kept("auto", "extras", 0, [0.92, 0.96, 0.98])
    taught = run | {"student": "auto", "run": run["run"] | {"student_accuracy": [0.5, None, 0.97]}}
    assert "## Students" not in page(RECORDS, [], "images")
    text = page([*RECORDS, taught], [], "images")
    [of_students] = rows_of(text.split("## Students")[1].split("## What")[0], "mnist10k")
    assert of_students[:3] == ["mnist10k", "`auto`", "1"]
    assert of_students[5] == ".7350"
