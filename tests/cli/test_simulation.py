"""What ``winnow simulate`` prints for people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cli.simulation import as_text
from worker.savings import Arm, arms_and_savings

LABELS = [10, 20, 30]


def runs(*curves: list[float], student: list[list[float]] | None = None) -> list[dict[str, Any]]:
    return [
        {"labels": LABELS, "accuracy": curve, "student_accuracy": student and student[seed], "encoder_choices": None}
        for seed, curve in enumerate(curves)
    ]


def result(**arms: list[dict[str, Any]]) -> dict[str, Any]:
    """A simulation's output as far as people see it; 95 % are .8, 98 % are .8253."""
    full = 0.8 / 0.95
    named = {
        name: Arm("auto" if name == "strategy" else "random", name.removeprefix("random_"), own)
        for name, own in arms.items()
    }
    summaries, savings = arms_and_savings(named, full, np.random.default_rng(0))
    baselines = [arm.to_dict() for name, arm in named.items() if name != "strategy"]
    return {
        "strategy": "auto", "encoder": "hashed", "n_pool": 500, "n_test": 100, "n_classes": 2,
        "full_pool_accuracy": full, "seeds": arms["strategy"],
        "baseline": baselines[0] if baselines else None, "baseline_same": baselines[1] if len(baselines) > 1 else None,
        "labels_to": {"0.95": {"threshold": 0.8}, "0.98": {"threshold": 0.98 * full}},
        "arms": summaries, "savings": savings,
    }  # fmt: skip


@pytest.fixture
def lines() -> list[str]:
    full = result(
        strategy=runs([0.4, 0.8, 0.9], [0.6, 0.8, 0.9], student=[[0.3, 0.6, 0.8], [0.5, 0.6, 0.8]]),
        random_raw=runs([0.2, 0.3, 0.4], [0.2, 0.3, 0.4], student=[[0.1] * 3] * 2),
        random_same=runs([0.2, 0.4, 0.8], [0.2, 0.4, 0.8], student=[[0.1, 0.1, 0.8]] * 2),
    )
    return as_text(full).splitlines()


def row(lines: list[str], start: str) -> str:
    return " ".join(next(line for line in lines if line.startswith(start)).split())


def test_each_curve_says_whose_it_is(lines: list[str]) -> None:
    assert row(lines, "labels") == (
        "labels auto, teacher auto, student random, teacher random, student "
        "random with extras, teacher random with extras, student"
    )
    assert row(lines, "20") == "20 0.8000 0.6000 0.3000 0.1000 0.4000 0.1000"


def test_each_arm_says_what_it_needs(lines: list[str]) -> None:
    at = next(number for number, line in enumerate(lines) if "labels to 95% (0.8000)" in line)
    needs = lines[at:]
    assert row(needs, "auto, teacher") == "auto, teacher 20 (20 … 20) 23 (23 … 23) 0.7333 (0.7000 … 0.7667)"
    assert row(needs, "auto, student") == "auto, student 30 (30 … 30) > 30 (30 … ) 0.6000 (0.5667 … 0.6333)"
    assert row(needs, "random, teacher").startswith("random, teacher > 30 (30 … ) > 30 (30 … )")


def test_each_saving_is_printed_apart_with_its_bound(lines: list[str]) -> None:
    assert row(lines, "saved in all, teacher").startswith("saved in all, teacher > 33% (33% … ) > 25% (25% … ) +0.4333")
    assert row(lines, "saved by selection, teacher").startswith("saved by selection, teacher 33% (33% … 33%)")
    assert row(lines, "saved by semi-supervision, student").split(", student ")[1].startswith("> 0% (0% … ) ? ")
    assert "2 seeds" in lines[-1]


def test_one_seed_without_a_baseline_has_neither_savings_nor_intervals() -> None:
    text = as_text(result(strategy=runs([0.4, 0.8, 0.9])))
    assert "saved" not in text
    assert "(20" not in text
    assert "student" not in text
    assert row(text.splitlines(), "auto, teacher") == "auto, teacher 20 23 0.7000"


def choice(encoder: str, labels: int, gain: float, present: str = "minilm") -> dict[str, Any]:
    losses = {"minilm": 1.0, "hashed": 1.0 - gain}
    return {"encoder": encoder, "present": present, "labels": labels, "losses": losses, "gain": gain, "needed": 0.1}


def test_it_says_which_encoder_was_chosen_when_and_by_what_margin() -> None:
    found = result(strategy=runs([0.4, 0.8, 0.9], [0.6, 0.8, 0.9]), random_raw=runs([0.2, 0.3, 0.4], [0.2, 0.3, 0.4]))
    first, second = found["seeds"]
    first["encoder_choices"] = [choice("hashed", 100, 0.4), choice("hashed", 400, -0.2, present="hashed")]
    second["encoder_choices"] = [choice("minilm", 100, -0.1)]
    found["baseline"]["seeds"][0]["encoder_choices"] = [choice("hashed", 120, 0.25)]
    lines = [" ".join(line.split()) for line in as_text(found).splitlines()]
    start = lines.index("labels encoder chosen log-loss lower by needed")
    assert lines[start + 1 : start + 5] == [
        "auto 100 hashed instead of minilm in 1 of 2 +0.150 0.100",
        "auto 400 minilm instead of hashed in 0 of 1 -0.200 0.100",
        "random 120 hashed instead of minilm in 1 of 1 +0.250 0.100",
        "",
    ]


def test_where_nothing_was_compared_nothing_is_said_of_it(lines: list[str]) -> None:
    assert not any("encoder chosen" in line for line in lines)
