"""What the cells of a folder say: labels to a share of the full accuracy, mean accuracy, and what is saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.label_cells import curve
from bench.label_sets import PLANS, VARIANTS
from worker.curves import first_reach

SHARES = (0.95, 0.98)
Records = Sequence[dict[str, Any]]
Arm = tuple[str, str, str, str, str]
"""Set, variant, strategy, features, and whose accuracy: ``teacher`` or ``student``."""
_CONFIDENCE = 0.95


def by_arm(records: Iterable[dict[str, Any]]) -> dict[Arm, list[dict[str, Any]]]:
    """Runs of each arm with nothing overridden, by seed; a run with a student counts for that alone."""
    found: dict[Arm, list[dict[str, Any]]] = {}
    for record in records:
        if not record["constant"]:
            who = "teacher" if record["student"] == "none" else "student"
            arm = (record["set"], record["variant"], record["strategy"], record["features"], who)
            found.setdefault(arm, []).append(record)
    order = {name: place for place, name in enumerate((*PLANS, *VARIANTS))}
    ordered = sorted(found, key=lambda arm: (order.get(arm[0], 99), order.get(arm[1], 99), *arm[2:]))
    return {arm: sorted(found[arm], key=lambda record: record["seed"]) for arm in ordered}


def summary(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each arm.

    ``labels_95`` and ``labels_98`` are medians over the seeds (None: most runs end before), ``…_range`` the least and
    the most (None in place of what no run reached), ``…_mean_curve`` the crossing of the mean curve, as ``winnow
    simulate`` prints it. ``mean_accuracy`` is that over the steps to the plan's span, with its standard error over the
    seeds. ``rank_ms`` is the median time of a ranking.
    """
    rows = []
    for arm, runs in by_arm(records).items():
        name, variant, strategy, features, who = arm
        means = areas(runs, who)
        row: dict[str, Any] = {
            "set": name, "variant": variant, "strategy": strategy, "features": features, "who": who,
            "seeds": len(runs),
        }  # fmt: skip
        for share in SHARES:
            reached = reaches(runs, share, who)
            key = f"labels_{share * 100:.0f}"
            row[key] = median(reached)
            row[f"{key}_range"] = _range(reached)
            row[f"{key}_mean_curve"] = mean_reach(runs, share, who)
        row["mean_accuracy"] = float(means.mean())
        row["standard_error"] = standard_error(means)
        row["bought"] = min(record["run"]["labels"][-1] for record in runs)
        row["cpu_seconds"] = float(np.median([record["cpu_seconds"] for record in runs]))
        row["rank_ms"] = 1e3 * float(np.median([s for record in runs for s in record["run"]["rank_seconds"]]))
        rows.append(row)
    return rows


def savings(records: Iterable[dict[str, Any]], strategy: str = "auto") -> list[dict[str, Any]]:
    """Shares of labels that a strategy saves, by the mean curves: in total, by selection, by semi-supervision.

    In total is against random sampling on raw features, by selection against random sampling with the same features to
    choose from, by semi-supervision what random sampling with them saves against that without. ``bound_…`` names the
    arms that end before they get there: their last label stands in. ``gain`` is the mean accuracy above that of the
    better random arm, paired by seed, with the half-width of its 95 % interval; ``lowest_step`` is the least of it at
    one step, means over the seeds.
    """
    arms, rows = by_arm(records), []
    for (name, variant, candidate, features, who), runs in arms.items():
        if candidate != strategy or features != "extras":
            continue
        raw = arms.get((name, variant, "random", "raw", who), [])
        same = arms.get((name, variant, "random", "extras", who), [])
        if not raw or not same:
            continue
        row: dict[str, Any] = {"set": name, "variant": variant, "who": who, "seeds": len(runs)}
        for share in SHARES:
            ours, theirs, plain = (_reach_or_end(arm, share, who) for arm in (runs, same, raw))
            key = f"{share * 100:.0f}"
            row[f"total_{key}"] = 1.0 - ours[0] / plain[0]
            row[f"selection_{key}"] = 1.0 - ours[0] / theirs[0]
            row[f"semi_supervision_{key}"] = 1.0 - theirs[0] / plain[0]
            row[f"bound_{key}"] = [
                arm
                for arm, (_, ended) in zip(("auto", "random", "random/raw"), (ours, theirs, plain), strict=True)
                if ended
            ]
        better = max((raw, same), key=lambda arm: float(areas(arm, who).mean()))
        row["better_random"] = better[0]["features"]
        row["gain"], row["half_width"] = paired_gain(runs, better, who)
        row["lowest_step"] = _lowest_step(runs, better, who)
        rows.append(row)
    return rows


def reaches(runs: Records, share: float, who: str = "teacher") -> list[float | None]:
    """Labels at which each run reaches a share of the accuracy that all labels give; None where it does not."""
    return [first_reach(*curve(record, _which(who)), share * record["full_pool_accuracy"]) for record in runs]


def mean_curve(runs: Records, who: str = "teacher", until: int | None = None) -> tuple[list[int], NDArray[np.float64]]:
    """Labels and mean accuracy at each step that all of these runs have."""
    curves = [curve(record, _which(who), until) for record in runs]
    steps = min(len(labels) for labels, _ in curves)
    return curves[0][0][:steps], np.mean([values[:steps] for _, values in curves], axis=0)


def mean_reach(runs: Records, share: float, who: str = "teacher") -> float | None:
    """Labels at which the mean curve reaches a share of the accuracy that all labels give."""
    labels, values = mean_curve(runs, who)
    return first_reach(labels, values, share * runs[0]["full_pool_accuracy"])


def areas(runs: Records, who: str = "teacher", which: str | None = None) -> NDArray[np.float64]:
    """Mean accuracy of each run over the steps to the plan's span, (runs,); or the mean of ``which``: ``macro_f1``."""
    return np.array([curve(record, which or _which(who), PLANS[record["set"]].span)[1].mean() for record in runs])


def standard_error(values: NDArray[np.float64]) -> float | None:
    """Of a mean; None of one value."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def median(values: Sequence[float | None]) -> float | None:
    """The median where None is more than any number, and the answer where the middle is.

    >>> median([3.0, None, 1.0]), median([None, 2.0]), median([4.0, 2.0])
    (3.0, None, 3.0)
    """
    middle = float(np.median([np.inf if value is None else value for value in values]))
    return middle if np.isfinite(middle) else None


def paired_gain(
    runs: Records, others: Records, who: str = "teacher", which: str | None = None
) -> tuple[float, float | None]:
    """Mean difference of the `areas` over the seeds that both have, and the half-width of its 95 % interval.

    The interval is Student's; None where there is one seed only.
    """
    from scipy.stats import t

    mine, theirs = (
        {record["seed"]: area for record, area in zip(arm, areas(arm, who, which), strict=True)}
        for arm in (runs, others)
    )
    gains = np.array([mine[seed] - theirs[seed] for seed in mine if seed in theirs])
    error = standard_error(gains)
    half = None if error is None else float(t.ppf(0.5 + _CONFIDENCE / 2, len(gains) - 1)) * error
    return float(gains.mean()), half


def _lowest_step(runs: Records, others: Records, who: str) -> float:
    span = PLANS[runs[0]["set"]].span
    mine, theirs = mean_curve(runs, who, span)[1], mean_curve(others, who, span)[1]
    steps = min(len(mine), len(theirs))
    return float((mine[:steps] - theirs[:steps]).min())


def _reach_or_end(runs: Records, share: float, who: str) -> tuple[float, bool]:
    reached = mean_reach(runs, share, who)
    return (float(mean_curve(runs, who)[0][-1]), True) if reached is None else (reached, False)


def _range(values: Sequence[float | None]) -> list[float | None]:
    known = [value for value in values if value is not None]
    return [min(known, default=None), None if len(known) < len(values) else max(known)]


def _which(who: str) -> str:
    return "accuracy" if who == "teacher" else "student_accuracy"
