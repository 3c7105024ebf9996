"""Greedy k-center beside its plain form, and the bounds that it is lazy by."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.kcenter import Front, Nearest, k_center


def plain_k_center(points: np.ndarray, covered: np.ndarray, size: int) -> list[int]:
    """The textbook algorithm, in float64 and without any laziness."""
    points, covered = points.astype(np.float64), covered.astype(np.float64)
    distance = ((points[:, None, :] - covered[None, :, :]) ** 2).sum(axis=2).min(axis=1)
    picks = []
    for _ in range(size):
        pick = int(distance.argmax())
        picks.append(pick)
        distance = np.minimum(distance, ((points - points[pick]) ** 2).sum(axis=1))
        distance[picks] = -1.0
    return picks


@pytest.mark.parametrize(("n", "n_covered", "size"), [(30, 4, 25), (900, 4, 25), (2_000, 300, 200)])
def test_lazy_k_center_picks_what_the_plain_algorithm_picks(n: int, n_covered: int, size: int) -> None:
    rng = np.random.default_rng(n)
    points, covered = rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(n_covered, 5)).astype(np.float32)
    picks, radii = k_center(points, covered, size)
    assert picks.tolist() == plain_k_center(points, covered, size)
    assert (np.diff(radii) <= 1e-4).all()


def test_k_center_begins_in_the_middle_where_nothing_is_covered() -> None:
    points = np.array([[0.0], [4.0], [5.0], [10.0]], np.float32)
    picks, radii = k_center(points, points[:0], 3)
    assert picks.tolist() == [2, 0, 3]
    np.testing.assert_allclose(radii, [0.25, 5.0, 5.0])


def test_k_center_goes_through_identical_points_to_the_end() -> None:
    picks, radii = k_center(np.ones((600, 3), np.float32), np.ones((1, 3), np.float32), 600)
    assert sorted(picks.tolist()) == list(range(600))
    assert radii.max() == 0.0


def test_a_bound_is_never_below_the_distance_and_exact_once_it_was_asked_for() -> None:
    rng = np.random.default_rng(3)
    points, covered = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(90, 4)).astype(np.float32)
    nearest = Nearest(points, covered)
    nearest.take(7)
    others = np.concatenate([covered, points[[7]]]).astype(np.float64)
    exact = ((points[:, None].astype(np.float64) - others[None]) ** 2).sum(axis=2).min(axis=1)
    assert (nearest.square >= exact - 1e-4).all()
    nearest.refresh(np.array([3, 8]))
    assert [nearest.is_exact(p) for p in (3, 8, 9)] == [True, True, False]
    nearest.refresh(np.arange(50))
    np.testing.assert_allclose(nearest.square, exact, rtol=1e-4, atol=1e-5)


def test_a_bound_comes_to_know_of_the_set_stretch_by_stretch() -> None:
    rng = np.random.default_rng(3)
    points, covered = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(500, 4)).astype(np.float32)
    nearest = Nearest(points, covered)
    nearest.take(7)
    exact = ((points[9] - np.concatenate([covered, points[[7]]])) ** 2).sum(axis=1).min()
    turns, before = 0, float(nearest.square[9])
    while not nearest.is_exact(9):
        nearest.advance(np.array([3, 9]), 9)
        turns += 1
        assert exact - 1e-4 <= nearest.square[9] <= before
        before = float(nearest.square[9])
    assert turns > 1
    np.testing.assert_allclose(nearest.square[9], exact, rtol=1e-4)


def test_the_front_has_the_largest_bound_whatever_becomes_of_the_bounds() -> None:
    rng = np.random.default_rng(4)
    bounds, front = np.round(rng.random(3_000), 2), Front(3_000)  # dozens of each value: the first of them is wanted
    for turn in range(400):
        rise = 0.05 if turn % 50 == 49 else 0.0
        bounds[rng.integers(3_000, size=9)] += rise
        top = front.top(bounds.__getitem__, rise=rise)
        assert top == int(np.argmax(bounds))
        stale = front.stale(bounds.__getitem__, top)
        assert top in stale
        assert len(set(stale.tolist())) == len(stale) <= 129
        bounds[stale] = np.minimum(bounds[stale], np.round(rng.random(len(stale)), 2))
        bounds[top] = -np.inf


def test_a_front_of_equals_still_gives_the_first() -> None:
    bounds, front = np.ones(2_000), Front(2_000)
    for expected in range(5):
        assert front.top(bounds.__getitem__) == expected
        bounds[expected] = -np.inf
