"""Whether the default is ever worse than random sampling, set by set: what the cells of a folder say of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bench.label_report import areas, by_arm, paired_gain
from bench.made_sets import STRESSES

TEXT = """## Never below random

Small sets, each unlike the others in one way, beside the real ones: `auto` against random sampling with the same
features to choose from and against random sampling on raw features, and the two random arms against each other, which
is what the choice of features does. Mean accuracy over the steps, and mean macro-F1, which says what becomes of rare
classes: differences paired by seed, with a 95 % interval (Student's t). **Below** where a difference is negative by
more than its interval."""
PAIRS = {
    "over_random": (("auto", "extras"), ("random", "extras")),
    "over_raw": (("auto", "extras"), ("random", "raw")),
    "views": (("random", "extras"), ("random", "raw")),
}
"""What is compared: strategy and features of one arm, and of the other."""
MEASURES = ("accuracy", "macro_f1")
_HEADER = ("set", "what it is", "seeds", "random, raw")
_SAID = {"over_random": "`auto` − random", "over_raw": "`auto` − random/raw", "views": "random − random/raw"}


def comparisons(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each set and variant that has the three arms, for accuracy and for macro-F1.

    ``random_raw`` is the mean of random sampling on raw features; of each of `PAIRS` there is the mean difference, and
    ``…_half``, the half-width of its interval, None of a single seed; ``below`` names those that are below 0 by more.
    """
    arms, rows = by_arm(records), []
    for name, variant in dict.fromkeys(arm[:2] for arm in arms):
        found = {
            key: [arms.get((name, variant, *side, "teacher"), []) for side in sides] for key, sides in PAIRS.items()
        }
        if not all(side for sides in found.values() for side in sides):
            continue
        for measure in MEASURES:
            plain = found["over_raw"][1]
            row: dict[str, Any] = {
                "set": name, "variant": variant, "measure": measure, "seeds": len(found["over_random"][0]),
                "random_raw": float(areas(plain, which=measure).mean()),
            }  # fmt: skip
            below = []
            for key, (ours, theirs) in found.items():
                row[key], row[f"{key}_half"] = paired_gain(ours, theirs, which=measure)
                if row[f"{key}_half"] is not None and row[key] + row[f"{key}_half"] < 0:
                    below.append(key)
            rows.append({**row, "below": below})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Header and lines: one for each set and variant, accuracy and macro-F1 beside each other."""
    header = [*_HEADER, *(f"{said}{of}" for of in ("", ", F1") for said in _SAID.values())]
    by_set: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_set.setdefault((row["set"], row["variant"]), {})[row["measure"]] = row
    lines = []
    for (name, variant), measured in by_set.items():
        first = measured[MEASURES[0]]
        said = name if variant == "plain" else f"{name}, {variant}"
        line = [said, STRESSES.get(name, "a real set"), str(first["seeds"]), f"{first['random_raw']:.3f}".lstrip("0")]
        lines.append(line + [_difference(measured[measure], key) for measure in MEASURES for key in _SAID])
    return header, lines


def _difference(row: dict[str, Any], key: str) -> str:
    half = row[f"{key}_half"]
    said = f"{row[key]:+.4f}" + ("" if half is None else f" ± {half:.4f}")
    return f"**{said}, below**" if key in row["below"] else said
