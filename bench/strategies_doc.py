"""Writes docs/strategies.md and its figures from the registry and from what the evidence scripts have kept.

``python -m bench.strategies_doc --out FOLDER [--docs docs]``; FOLDER is that of `bench.label_efficiency`,
`bench.leave_one_set_out` and `bench.peer_loops`. No figure in the page is typed in.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import leave_one_set_out, never_below, peer_loops
from bench.figures import learning_curves
from bench.label_cells import cells_in, curve
from bench.label_report import SHARES, Records, by_arm, savings, summary
from bench.label_sets import GROUPS, PLANS
from bench.strategy_guide import COSTS, GUIDE
from bench.tuned_constants import GRIDS

_DRAWN = ("auto", "random", "random/raw")
_STRONGEST = 2
"""How many other strategies a figure shows: those of the largest mean accuracy."""
_NAMES = {"auto": "auto", "random": "random, same features", "random/raw": "random, raw features"}

_HOW = """# Query strategies

A strategy says which items to label next. It is a project's setting `strategy`, an option of `winnow simulate`, and
in code `sampler.strategies.get_strategy(name)`; other libraries' are listed in [peers.md](peers.md). `python -m
bench.strategies_doc` writes this page from what `python -m bench.label_efficiency`, `bench.leave_one_set_out` and
`bench.peer_loops` have kept (see [benchmarks.md](benchmarks.md#label-efficiency)); no figure is typed in.

Strategies that need a model's probabilities begin at random (`clustered_margin` with TypiClust) until two classes
have labels."""

_MEASURED = """## Measured

The loop of `winnow simulate`: first batch and steps are {plans}. Features of the project's own encoders, no student.
"95 %" and "98 %" are the labels at which the mean curve over the seeds reaches that share of the accuracy that all
labels of the pool give this teacher on raw features ({full}), in brackets the least and the most of single seeds; ">
n" ended without. "Accuracy" is the mean over the steps to {spans} labels, ± its standard error over the seeds.
Teachers choose by cross-validation between raw features and those that have spread over the graph of neighbours;
`random/raw` has raw features only. `auto` may also look for classes without labels by their names, which no other
strategy does; [auto.md](auto.md#classes-not-seen-yet) has it without them. One seed is an anecdote: the differences
between seeds are in the rows that have several."""

_SAVED = """## What `auto` saves

In total, against random sampling on raw features; by selection, against random sampling with the same features to
choose from; by semi-supervision, what those features save random sampling. By the mean curves; ≥ and ≤ where an arm
ended before it got there. "Gain" is the mean accuracy above that of the better random arm, paired by seed, with a 95
% interval (Student's t); "lowest step" the least of that difference at any one step to the span's end, means over the
seeds."""

_STUDENTS = """## Students

The families `hashed` (texts) and `mlp` (digits, by their features), which `student: "auto"` gave when this was
measured; for texts it mostly takes `static` since, which no figure here is of ([students.md](students.md)). Distilled
from the teacher when labels have grown by a quarter. Shares are of the accuracy that all labels give the teacher;
"accuracy" is the mean over the steps at which a student was trained, so it stands beside other students' only. Below,
it has its own rows of savings."""

_STRESS = """## Harder variants

`half-classes`: half of the classes. `imbalance20`: the pool's classes thinned out geometrically to 20 : 1, the test
set as it was. `hashed`: texts by the encoder `hashed`. `rotated`: features turned at random. `noise10`: every tenth
answer wrong, the test set right. Columns as above; runs end at the span's end."""

_LEFT_OUT = """## Constants, with one set left out

Each constant of `auto` and its teacher at other values, the others at their defaults: mean accuracy of `auto` over
the steps. "Chosen" is the value that is best on the other sets; "loss" is what the best value on this set gives
more. A loss within the differences between seeds says that the constant does not matter here."""

_PEERS = """## The same loop in other libraries

Each peer runs its own loop with its own learner over a logistic regression, on raw features: the same first batch
(bought by `auto`), steps and seeds, the C that our rule chooses, and the same final scoring, our teacher on raw
features. CPU-seconds are those of the whole loop to the last label, choosing C not counted for peers, all counted for
ours (one BLAS thread; medians)."""


def page(records: Records, peers: Records, images: str) -> str:
    """The document; sections of which nothing has been run are left out."""
    parts = [_HOW, _guide()]
    real = [record for record in records if record["set"] in GROUPS["real"]]
    plain = [row for row in summary(real) if row["variant"] == "plain" and row["who"] == "teacher"]
    if plain:
        parts += [_measured(real, plain), *_pictures(plain, images)]
    students = [row for row in summary(real) if row["variant"] == "plain" and row["who"] == "student"]
    if students:
        parts.append(_students(students))
    saved = savings(real)
    for text, rows in (
        (_SAVED, [row for row in saved if row["variant"] == "plain"]),
        (_STRESS, [row for row in saved if row["variant"] != "plain"]),
    ):
        if rows:
            parts.append(f"{text}\n\n{_saved_table(rows)}")
    compared = [row for row in never_below.comparisons(records) if row["variant"] in ("plain", "redrawn")]
    if any(row["set"] in GROUPS["unlike"] for row in compared):
        parts.append(f"{never_below.TEXT}\n\n{_table(*never_below.table(compared))}")
    left_out = leave_one_set_out.summary(list(records))
    if left_out:
        parts.append(f"{_LEFT_OUT}\n\n{_left_out_table(left_out)}")
    if peers:
        parts.append(f"{_PEERS}\n\n{_peer_table(peer_loops.summary(list(peers)))}")
    return "\n\n".join(parts) + "\n"


def figures(records: Records, folder: Path) -> None:
    """One SVG for each set: ``auto``, both random arms and the strongest others."""
    arms = by_arm(records)
    for name in GROUPS["real"]:
        mine = {
            arm_name(a[2], a[3]): runs for a, runs in arms.items() if (a[0], a[1], a[4]) == (name, "plain", "teacher")
        }
        if not set(_DRAWN) <= set(mine):
            continue
        others = sorted((arm for arm in mine if arm not in _DRAWN), key=lambda arm: -_span_mean(mine[arm]))
        curves = {}
        for arm in (*_DRAWN, *others[:_STRONGEST]):
            found = [curve(record, until=PLANS[name].span) for record in mine[arm]]
            label = f"{_NAMES.get(arm, arm)} ({len(found)} {'seeds' if len(found) > 1 else 'seed'})"
            curves[label] = (found[0][0], np.array([values for _, values in found]))
        full = mine["auto"][0]["full_pool_accuracy"]
        levels = {f"{share * 100:.0f} % of the accuracy with all labels": share * full for share in SHARES}
        learning_curves(folder / f"curves-{name}.svg", name, curves, levels)


def arm_name(strategy: str, features: str) -> str:
    """As on the command line."""
    return strategy if features == "extras" else f"{strategy}/raw"


def _guide() -> str:
    from sampler.strategies import get_strategy, strategy_names

    rows = []
    for name in strategy_names():
        said = inspect.getdoc(getattr(get_strategy(name), "body", None)) or ""
        rows.append([f"`{name}`", " ".join(said.split("\n\n")[0].split()), COSTS[GUIDE[name].cost], GUIDE[name].when])
    return _table(["strategy", "what it does", "cost of a ranking", "when to use it"], rows)


def _measured(records: Records, rows: list[dict[str, Any]]) -> str:
    full = {record["set"]: record["full_pool_accuracy"] for record in records if record["variant"] == "plain"}
    plans = []
    for name in full:
        plan = PLANS[name]
        grown = "".join(f", from {labels} on {batch}" for labels, batch in plan.then)
        plans.append(f"{name} {plan.first} and {plan.step}{grown}")
    text = _MEASURED.format(
        plans="; ".join(plans),
        full=", ".join(f"{name} {_accuracy(value)}" for name, value in full.items()),
        spans=", ".join(str(PLANS[name].span) for name in full),
    )
    parts = [text]
    for name in full:
        mine = sorted((row for row in rows if row["set"] == name), key=lambda row: -row["mean_accuracy"])
        header = ["strategy", "seeds", "95 %", "98 %", "accuracy", "ms a ranking"]
        body = [
            [
                f"`{arm_name(row['strategy'], row['features'])}`",
                str(row["seeds"]),
                *(_labels(row, f"labels_{share * 100:.0f}") for share in SHARES),
                _with_error(row["mean_accuracy"], row["standard_error"]),
                f"{row['rank_ms']:.0f}",
            ]
            for row in mine
        ]
        parts.append(f"### {name}\n\n{_table(header, body)}")
    return "\n\n".join(parts)


def _students(rows: list[dict[str, Any]]) -> str:
    header = ["set", "strategy", "seeds", "95 %", "98 %", "accuracy"]
    body = [
        [
            row["set"],
            f"`{arm_name(row['strategy'], row['features'])}`",
            str(row["seeds"]),
            *(_labels(row, f"labels_{share * 100:.0f}") for share in SHARES),
            _with_error(row["mean_accuracy"], row["standard_error"]),
        ]
        for row in rows
    ]
    return f"{_STUDENTS}\n\n{_table(header, body)}"


def _pictures(rows: list[dict[str, Any]], images: str) -> list[str]:
    arms: dict[str, set[str]] = {}
    for row in rows:
        arms.setdefault(row["set"], set()).add(arm_name(row["strategy"], row["features"]))
    drawn = [name for name in arms if set(_DRAWN) <= arms[name]]
    return [f"![Learning curves on {name}]({images}/curves-{name}.svg)" for name in drawn]


def _saved_table(rows: list[dict[str, Any]]) -> str:
    header = ["set", "variant", "of", "seeds"]
    header += [
        f"{what}, {share * 100:.0f} %" for share in SHARES for what in ("total", "selection", "semi-supervision")
    ]
    body = []
    for row in rows:
        cells = [row["set"], row["variant"], row["who"], str(row["seeds"])]
        for share in SHARES:
            key = f"{share * 100:.0f}"
            for what, ours, theirs in (
                ("total", "auto", "random/raw"),
                ("selection", "auto", "random"),
                ("semi_supervision", "random", "random/raw"),
            ):
                cells.append(_bounded(row[f"{what}_{key}"], ours in row[f"bound_{key}"], theirs in row[f"bound_{key}"]))
        gain = f"{row['gain']:+.3f}" + ("" if row["half_width"] is None else f" ± {row['half_width']:.3f}")
        body.append([*cells, gain, f"{row['lowest_step']:+.3f}"])
    return _table([*header, "gain", "lowest step"], body)


def _bounded(value: float, ours_ended: bool, theirs_ended: bool) -> str:
    if ours_ended and theirs_ended:
        return "–"
    return ("≤ " if ours_ended else "≥ " if theirs_ended else "") + f"{100 * value:.0f} %"


def _left_out_table(rows: list[dict[str, Any]]) -> str:
    header = [
        "constant",
        "decides",
        "set",
        "seeds",
        "default",
        "chosen",
        "best",
        "accuracy: default",
        "chosen",
        "best",
        "loss",
    ]
    return _table(
        header,
        [
            [
                f"`{row['constant']}`",
                GRIDS[row["constant"]].decides,
                row["set"],
                str(row["seeds"]),
                *(f"{row[key]:g}" for key in ("default", "chosen", "best")),
                *(_accuracy(row[f"by_{key}"]) for key in ("default", "chosen", "best")),
                f"{row['loss']:.4f}",
            ]
            for row in rows
        ],
    )


def _peer_table(rows: list[dict[str, Any]]) -> str:
    header = ["set", "loop", "seeds", "95 %", "98 %", "accuracy", "CPU-seconds", "labels"]
    return _table(
        header,
        [
            [
                row["set"],
                row["loop"],
                str(row["seeds"]),
                *(_count(row[f"labels_{share * 100:.0f}_mean_curve"], row["bought"]) for share in SHARES),
                _with_error(row["mean_accuracy"], row["standard_error"]),
                f"{row['cpu_seconds']:.2f}",
                str(row["bought"]),
            ]
            for row in rows
        ],
    )


def _labels(row: dict[str, Any], key: str) -> str:
    reached = _count(row[f"{key}_mean_curve"], row["bought"])
    if row["seeds"] == 1 or row[f"{key}_mean_curve"] is None:
        return reached
    least, most = row[f"{key}_range"]
    return f"{reached} ({_count(least, row['bought'])} to {_count(most, row['bought'])})"


def _count(labels: float | None, bought: int) -> str:
    return f"> {bought}" if labels is None else f"{labels:.0f}"


def _with_error(value: float, error: float | None) -> str:
    return _accuracy(value) + ("" if error is None else f" ± {error:.4f}".replace("0.", ".", 1))


def _accuracy(value: float) -> str:
    return f"{value:.4f}".removeprefix("0")


def _span_mean(runs: Records) -> float:
    return float(np.mean([curve(record, until=PLANS[record["set"]].span)[1].mean() for record in runs]))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.strategies_doc", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    records = cells_in(options.out)
    figures(records, options.docs / "images")
    (options.docs / "strategies.md").write_text(page(records, peer_loops.records_in(options.out), "images"))


if __name__ == "__main__":
    main()
