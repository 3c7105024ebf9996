"""Where curves cross, and what is said where they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worker.curves import area_under, first_reach, labels_to


def runs(*curves: list[float], labels: list[int] | None = None) -> list[dict[str, Any]]:
    steps = labels or [10 * (i + 1) for i in range(len(curves[0]))]
    return [{"labels": steps, "accuracy": curve} for curve in curves]


@pytest.mark.parametrize(
    ("curve", "reached"),
    [
        ([0.5, 0.6, 0.7, 0.8], 25.0),
        ([0.5, 0.65, 0.65, 0.8], 20.0),
        ([0.7, 0.8, 0.9, 0.9], 10.0),
        ([0.5, 0.7, 0.6, 0.8], 32.5),
        ([0.5, 0.5, 0.5, 0.75], 36.0),
        ([0.5, 0.5, 0.5, 0.6], None),
        ([0.7, 0.5, 0.5, 0.6], None),
    ],
)
def test_a_threshold_is_reached_where_the_curve_crosses_it_to_stay(curve: list[float], reached: float | None) -> None:
    assert first_reach([10, 20, 30, 40], np.array(curve), 0.65) == reached


def test_what_is_saved_is_the_share_of_the_baselines_labels() -> None:
    found = labels_to(0.8, 0.75, runs([0.5, 0.7, 0.8], [0.5, 0.7, 0.8]), runs([0.4, 0.5, 0.7]))
    assert found["threshold"] == pytest.approx(0.6)
    assert found["strategy"] == 15.0
    assert found["baseline"] == 25.0
    assert found["saved"] == 0.4
    assert found["censored"] is False


def test_the_mean_over_seeds_crosses_and_not_each_seed() -> None:
    found = labels_to(1.0, 0.6, runs([0.2, 0.9, 0.9], [0.6, 0.5, 0.7]), None)
    assert found["strategy"] == pytest.approx(16.67)
    assert (found["baseline"], found["saved"], found["censored"]) == (None, None, False)


def test_a_baseline_that_does_not_get_there_gives_a_bound() -> None:
    found = labels_to(1.0, 0.6, runs([0.5, 0.7, 0.8]), runs([0.3, 0.4, 0.5]))
    assert (found["strategy"], found["baseline"], found["saved"], found["censored"]) == (15.0, None, 0.5, True)


def test_a_strategy_that_does_not_get_there_gives_a_bound_too() -> None:
    found = labels_to(1.0, 0.6, runs([0.3, 0.4, 0.5]), runs([0.5, 0.7, 0.8]))
    assert (found["strategy"], found["baseline"], found["saved"], found["censored"]) == (None, 15.0, -1.0, True)


def test_where_neither_gets_there_nothing_is_claimed() -> None:
    found = labels_to(1.0, 0.9, runs([0.3, 0.4]), runs([0.5, 0.7]))
    assert (found["strategy"], found["baseline"], found["saved"], found["censored"]) == (None, None, None, True)


def test_the_area_is_the_mean_over_steps() -> None:
    assert area_under(runs([0.2, 0.4], [0.4, 0.6])) == pytest.approx(0.4)
