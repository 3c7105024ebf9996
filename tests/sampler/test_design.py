"""I-optimal picks, beside their plain form with an inverse for each candidate."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.design import i_optimal, information


def plain_i_optimal(
    points: np.ndarray, weights: np.ndarray, target: np.ndarray, known: np.ndarray, size: int
) -> tuple[list[int], list[float]]:
    """Tries every candidate with an inverse of its own."""
    points = points.astype(np.float64)
    picks: list[int] = []
    gains: list[float] = []
    for _ in range(size):
        before = np.trace(np.linalg.inv(known) @ target)
        after = [
            np.inf if i in picks else np.trace(np.linalg.inv(known + w * np.outer(x, x)) @ target)
            for i, (x, w) in enumerate(zip(points, weights, strict=True))
        ]
        pick = int(np.argmin(after))
        picks.append(pick)
        gains.append(float(before - after[pick]))
        known = known + weights[pick] * np.outer(points[pick], points[pick])
    return picks, gains


def problem(n: int = 60, d: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    points, weights = rng.normal(size=(n, d)).astype(np.float32), rng.random(n)
    known = information(rng.normal(size=(4, d)).astype(np.float32), rng.random(4)) + 0.1 * np.eye(d)
    return points, weights, information(points, weights), known


def test_picks_and_gains_are_those_of_the_plain_algorithm() -> None:
    points, weights, target, known = problem()
    picks, gains, after = i_optimal(points, weights, target, known, 30)
    expected, lowered = plain_i_optimal(points, weights, target, known, 30)
    assert picks.tolist() == expected
    np.testing.assert_allclose(gains, lowered, rtol=1e-3, atol=1e-3)  # the points are float32
    assert np.isneginf(after[picks]).all()
    assert np.isfinite(np.delete(after, picks)).all()


def test_what_is_left_would_lower_the_trace_by_what_is_said() -> None:
    points, weights, target, known = problem()
    picks, _, after = i_optimal(points, weights, target, known, 3)
    for pick in picks:
        known = known + weights[pick] * np.outer(points[pick], points[pick]).astype(np.float64)
    again = plain_i_optimal(points, weights * (~np.isin(np.arange(60), picks)), target, known, 1)
    assert int(np.argmax(after)) == again[0][0]
    np.testing.assert_allclose(after.max(), again[1][0], rtol=1e-3)


def test_one_direction_asked_leaves_the_other() -> None:
    points = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    picks, gains, _ = i_optimal(points, np.ones(3), np.diag([1.0, 0.9]), np.eye(2), 2)
    assert picks.tolist() == [0, 2]
    np.testing.assert_allclose(gains, [1.0 / 2.0, 0.9 / 2.0], rtol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 40, 100])
def test_all_are_picked_once_where_more_are_asked_for_than_there_are(size: int) -> None:
    points = np.ones((40, 3), np.float32)
    picks, gains, _ = i_optimal(points, np.ones(40), np.eye(3), np.eye(3), size)
    assert len(set(picks.tolist())) == len(picks) == min(size, 40)
    assert np.isfinite(gains).all()


def test_items_that_would_tell_nothing_gain_nothing() -> None:
    points, _, target, known = problem()
    _, gains, _ = i_optimal(points, np.zeros(60), target, known, 5)
    assert gains.tolist() == [0.0] * 5
