"""What is saved, and by what: worked out by hand on curves of a few steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.curves import first_reach, first_reaches
from worker.savings import Arm, arms_and_savings, seed_weights

LABELS = [10, 20, 30, 40]
FULL = 1.0 / 0.95
"""At which 95 % are an accuracy of 1, and 98 % are never reached."""


def arm(*curves: list[float], features: str = "same", student: list[list[float]] | None = None) -> Arm:
    runs = [
        {"labels": LABELS, "accuracy": curve, "student_accuracy": student and student[seed]}
        for seed, curve in enumerate(curves)
    ]
    return Arm("random", features, runs)


def report(arms: dict[str, Arm], full: float = FULL) -> tuple[dict[str, Any], dict[str, Any]]:
    return arms_and_savings(arms, full, np.random.default_rng(0))


EARLY, MIDDLE, LATE, NEVER = [0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.5]


def test_three_savings_are_told_apart() -> None:
    _, savings = report({"strategy": arm(EARLY), "random_raw": arm(LATE), "random_same": arm(MIDDLE)})
    saved = {name: saving["teacher"]["0.95"]["saved"] for name, saving in savings.items()}
    assert saved == {"total": 0.5, "selection": 0.3333, "semi_supervision": 0.25}
    gains = {name: saving["teacher"]["area"]["gain"] for name, saving in savings.items()}
    assert gains == {"total": 0.5, "selection": 0.25, "semi_supervision": 0.25}
    assert (savings["selection"]["of"], savings["selection"]["against"]) == ("strategy", "random_same")


def test_teacher_and_student_are_held_to_the_same_threshold() -> None:
    arms = {"strategy": arm(EARLY, student=[MIDDLE]), "random_raw": arm(MIDDLE, student=[LATE])}
    needs, savings = report(arms)
    assert needs["strategy"]["teacher"]["labels_to"]["0.95"]["labels"] == 20
    assert needs["strategy"]["student"]["labels_to"]["0.95"]["labels"] == 30
    assert savings["total"]["student"]["0.95"]["saved"] == 0.25


def test_what_was_not_run_is_null() -> None:
    needs, savings = report({"strategy": arm(EARLY), "random_raw": arm(LATE, features="raw")})
    assert set(needs) == {"strategy", "random_raw"}
    assert (needs["random_raw"]["features"], needs["random_raw"]["student"]) == ("raw", None)
    assert savings["total"]["student"] is savings["selection"] is savings["semi_supervision"] is None


@pytest.mark.parametrize(
    ("ours", "theirs", "saved", "bound"),
    [
        (EARLY, LATE, 0.5, None),
        (EARLY, NEVER, 0.5, "at_least"),
        (NEVER, EARLY, -1.0, "at_most"),
        (NEVER, NEVER, None, "unknown"),
    ],
)
def test_what_is_not_reached_gives_a_bound(
    ours: list[float], theirs: list[float], saved: float | None, bound: str | None
) -> None:
    needs, savings = report({"strategy": arm(ours), "random_raw": arm(theirs)})
    assert (savings["total"]["teacher"]["0.95"]["saved"], savings["total"]["teacher"]["0.95"]["bound"]) == (
        saved, bound,
    )  # fmt: skip
    reached = needs["strategy"]["teacher"]["labels_to"]["0.95"]["labels"]
    assert reached == (20 if ours is EARLY else None)


def test_one_seed_has_no_interval() -> None:
    needs, savings = report({"strategy": arm(EARLY), "random_raw": arm(LATE)})
    assert needs["strategy"]["teacher"]["area"] == {"value": 0.75, "low": None, "high": None}
    assert (savings["total"]["teacher"]["0.95"]["low"], savings["total"]["teacher"]["0.95"]["high"]) == (None, None)


def test_two_seeds_span_what_either_gives_alone() -> None:
    needs, savings = report({"strategy": arm(EARLY, MIDDLE), "random_raw": arm(LATE, LATE)})
    assert needs["strategy"]["teacher"]["labels_to"]["0.95"] == {"labels": 30.0, "low": 20.0, "high": 30.0}
    assert savings["total"]["teacher"]["0.95"] == {"saved": 0.25, "bound": None, "low": 0.25, "high": 0.5}
    assert needs["strategy"]["teacher"]["area"] == {"value": 0.625, "low": 0.5, "high": 0.75}


def test_seeds_are_paired_so_that_what_both_arms_share_cancels() -> None:
    rng = np.random.default_rng(1)
    base = rng.uniform(0.2, 0.6, size=(6, 1)) + np.array([0.0, 0.1, 0.2, 0.3])
    arms = {"strategy": arm(*(base + 0.05).tolist()), "random_raw": arm(*base.tolist())}
    needs, savings = report(arms)
    gain = savings["total"]["teacher"]["area"]
    assert (gain["low"], gain["gain"], gain["high"]) == (0.05, 0.05, 0.05)
    area = needs["strategy"]["teacher"]["area"]
    assert area["high"] - area["low"] > 0.1


def test_an_end_of_an_interval_that_hangs_on_a_curve_that_did_not_get_there_is_open() -> None:
    full = 0.5 / 0.95
    arms = {"strategy": arm(EARLY, EARLY, EARLY), "random_raw": arm(LATE, LATE, [0.0, 0.0, 0.0, 0.0])}
    needs, savings = report(arms, full)
    assert needs["random_raw"]["teacher"]["labels_to"]["0.95"]["labels"] == pytest.approx(37.5)
    assert needs["random_raw"]["teacher"]["labels_to"]["0.95"] == {"labels": 37.5, "low": 35.0, "high": None}
    total = savings["total"]["teacher"]["0.95"]
    assert (total["bound"], total["high"]) == (None, None)
    assert total["low"] == pytest.approx(1 - 15 / 35, abs=1e-4)
    turned = report({"strategy": arms["random_raw"], "random_raw": arms["strategy"]}, full)[1]["total"]["teacher"]
    assert turned["0.95"]["low"] is None
    assert turned["0.95"]["high"] == pytest.approx(1 - 35 / 15, abs=1e-4)


def test_intervals_of_five_seeds_hold_the_mean_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        curves = np.repeat(rng.normal(0.5, 0.1, size=(5, 1)), 4, axis=1)
        area = report({"strategy": arm(*curves.tolist())})[0]["strategy"]["teacher"]["area"]
        held += area["low"] <= 0.5 <= area["high"]
    assert 176 <= held <= 200  # a plain percentile interval holds it in about 165


def test_seeds_count_alike_first_and_as_drawn_after_that() -> None:
    weights = seed_weights(3, np.random.default_rng(0))
    assert weights[0].tolist() == [1 / 3] * 3
    assert np.allclose(weights.sum(axis=1), 1)
    assert set(np.unique((3 * weights).round(6))) == {0.0, 1.0, 2.0, 3.0}
    assert np.allclose(weights[1:].mean(axis=0), 1 / 3, atol=0.02)
    assert seed_weights(1, np.random.default_rng(0)).tolist() == [[1.0]]


def test_many_curves_cross_where_each_alone_does() -> None:
    curves = np.random.default_rng(0).random((200, 4)).round(1)
    together = first_reaches(LABELS, curves, 0.5)
    alone = [first_reach(LABELS, curve, 0.5) for curve in curves]
    assert [None if np.isnan(value) else round(float(value), 2) for value in together] == alone
    assert None in alone
    assert 10.0 in alone
