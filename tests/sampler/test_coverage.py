"""Greedy coverage, beside its plain form, and the radius that keeps balls pure."""

from __future__ import annotations

import numpy as np
import pytest

from sampler import coverage
from sampler.coverage import (
    coverage_of,
    evened,
    evenness,
    gaussian,
    greedy_cover,
    hubness,
    pure_radius,
    rank_correlation,
)
from sampler.diversity import square_distances
from sampler.errors import InvalidInput
from sampler.symmetric import Symmetric


def plain_cover(kernel: np.ndarray, weights: np.ndarray, covered: np.ndarray, size: int) -> tuple[list[int], list]:
    picks: list[int] = []
    gains = []
    for _ in range(size):
        gain = [
            -1.0 if i in picks else float((weights * np.maximum(row - covered, 0.0)).sum())
            for i, row in enumerate(kernel)
        ]
        picks.append(int(np.argmax(gain)))
        gains.append(gain[picks[-1]])
        covered = np.maximum(covered, kernel[picks[-1]])
    return picks, gains


@pytest.mark.parametrize("n", [20, 300])
def test_lazy_picks_are_those_of_the_plain_algorithm(n: int) -> None:
    rng = np.random.default_rng(n)
    points = rng.normal(size=(n, 3)).astype(np.float32)
    kernel = gaussian(square_distances(points, points), 0.7)
    weights, covered = rng.random(n), coverage_of(points, points[:2] + np.float32(0.1), 0.7)
    picks, gains, first = greedy_cover(kernel, weights, covered, 15)
    expected, added = plain_cover(kernel.astype(np.float64), weights, covered.astype(np.float64), 15)
    assert picks.tolist() == expected
    np.testing.assert_allclose(gains, added, rtol=1e-4)
    assert first.all()
    assert (np.diff(gains) <= 1e-4).all()


def test_similarity_falls_off_as_the_formula_says() -> None:
    similarity = gaussian(np.array([[0.0, 2.0, 8.0]], np.float32), 2.0)
    np.testing.assert_allclose(similarity, [[1.0, np.exp(-0.25), np.exp(-1.0)]], rtol=1e-6)
    np.testing.assert_array_equal(gaussian(np.zeros((1, 2), np.float32), 0.0), [[1.0, 1.0]])
    assert coverage_of(np.ones((3, 2), np.float32), np.empty((0, 2), np.float32), 1.0).tolist() == [0.0] * 3


@pytest.mark.parametrize("n", [30, 700])
def test_an_even_kernel_is_divided_by_how_near_either_side_is_to_all(n: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)
    covered = points[: n - 10] + np.float32(0.1)
    kernel = gaussian(square_distances(points, points), 1.5)
    near = gaussian(square_distances(points, covered), 1.5)
    means = kernel.mean(axis=1, dtype=np.float64)
    power = evenness(hubness(points, means))
    assert power > 0.3
    even, covers = evened(Symmetric.of(kernel.copy()), points, covered, 1.5)
    rows = np.stack([even.row(i) for i in range(n)])
    shares = means / means.mean()
    np.testing.assert_allclose(rows, kernel / (shares[:, None] * shares) ** power, rtol=1e-4)
    expected = near / (shares[:, None] * near.mean(axis=0, dtype=np.float64) / means.mean()) ** power
    np.testing.assert_allclose(covers, expected.max(axis=1), rtol=1e-4)
    _, uncovered = evened(Symmetric.of(kernel.copy()), points, covered[:0], 1.5)
    assert not uncovered.any()


def test_an_even_kernel_takes_from_the_lead_of_a_hub() -> None:
    rng = np.random.default_rng(0)
    around = rng.normal(size=(60, 40))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    points = np.concatenate([around, np.zeros((1, 40))]).astype(np.float32)  # the last is near to all and like none
    kernel = Symmetric.square_distances(points).map(lambda square: gaussian(square, 1.0))
    plain = kernel.row_means()
    even, _ = evened(kernel, points, points[:0], 1.0)
    lead, left = plain[60] / plain[:60].mean(), even.row_means()[60] / even.row_means()[:60].mean()
    assert lead > 1.5
    assert left == pytest.approx(lead ** (1.0 - evenness(hubness(points, plain))), rel=0.02)
    assert left < 1.4


def test_a_kernel_is_evened_out_where_there_are_hubs_and_left_alone_where_there_are_hardly_any() -> None:
    assert [evenness(hubs) for hubs in (0.0, 1 / 3, 0.5, 2 / 3, 1.0)] == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0])


def test_hubs_are_near_to_all_and_among_the_nearest_of_many_and_dense_groups_are_not() -> None:
    rng = np.random.default_rng(1)

    def of(points: np.ndarray) -> float:
        points = points.astype(np.float32)
        return hubness(points, gaussian(square_distances(points, points), 3.0).mean(axis=1, dtype=np.float64))

    groups = 5.0 * np.eye(6)[np.repeat(np.arange(6), [200, 100, 50, 25, 15, 10])]
    assert of(rng.normal(size=(400, 30))) > 0.7
    assert of(groups + 0.3 * rng.normal(size=(400, 6))) < 0.3
    assert of(np.ones((50, 3))) == 0.0
    assert of(np.ones((1, 3))) == 0.0


def test_a_few_extreme_hubs_do_not_hide_that_there_are_hubs() -> None:
    nearest = np.array([0, 1, 2, 3, 4, 400])
    nearness = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert rank_correlation(nearest, nearness) == pytest.approx(1.0)
    assert rank_correlation(nearest, -nearness) == pytest.approx(-1.0)
    assert rank_correlation(np.array([1, 1, 2, 2]), np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(4 / np.sqrt(20))


def test_hubness_looks_at_points_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(2).normal(size=(301, 20)).astype(np.float32)
    near = gaussian(square_distances(points, points), 3.0).mean(axis=1, dtype=np.float64)
    monkeypatch.setattr(coverage, "_HUB_ROWS", 100)
    assert hubness(points, near) == hubness(points[::4], near[::4])


def test_what_is_covered_once_is_covered_a_second_time_before_it_ends() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2])
    kernel = (groups[:, None] == groups[None, :]).astype(np.float32)
    picks, gains, first = greedy_cover(kernel, np.ones(6), np.zeros(6, np.float32), 6)
    assert groups[picks].tolist() == [0, 1, 2, 0, 1, 0]
    assert gains.tolist() == [3.0, 2.0, 1.0, 3.0, 2.0, 3.0]
    assert first.tolist() == [True] * 3 + [False] * 3


def test_identical_points_end_after_a_few_rounds() -> None:
    picks, _, first = greedy_cover(np.ones((50, 50), np.float32), np.ones(50), np.zeros(50, np.float32), 50)
    assert len(picks) == len(set(picks.tolist())) == 4
    assert first.tolist() == [True, False, False, False]
    assert len(greedy_cover(np.ones((5, 5), np.float32), np.zeros(5), np.zeros(5, np.float32), 5)[0]) == 0


def test_a_reserve_in_blocks_begins_like_the_exact_picks_and_covers_nearly_as_much() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(900, 8)).astype(np.float32)
    kernel = gaussian(square_distances(points, points), 2.0)
    weights, nothing = rng.random(900), np.zeros(900, np.float32)
    exact, _, _ = greedy_cover(kernel, weights, nothing, 400)
    quick, gains, _ = greedy_cover(kernel, weights, nothing, 400, exact=50)
    assert quick[:50].tolist() == exact[:50].tolist()
    assert len(set(quick.tolist())) == 400
    assert (np.diff(gains[50:150]) <= 0).all()
    assert (np.diff(gains[150:400]) <= 0).all()
    for size in (100, 200, 400):
        whole, part = (float(weights @ kernel[picks[:size]].max(axis=0)) for picks in (exact, quick))
        assert 0.98 * whole < part <= whole * (1 + 1e-9)


def test_of_a_block_none_lies_where_another_has_covered_most_of_what_was_open() -> None:
    places = np.float32([0, 0.01, 10, 10.01, 20, 30, 40, 50])[:, None]
    kernel = gaussian(square_distances(places, places), 1.0)
    weights = np.array([9.0, 9.0, 8.0, 8.0, 7.0, 6.0, 5.0, 4.0])
    picks, _, first = greedy_cover(kernel, weights, np.zeros(8, np.float32), 6, exact=2)
    groups = np.array([0, 0, 1, 1, 2, 3, 4, 5])
    assert groups[picks].tolist() == [0, 1, 2, 3, 4, 5]
    assert first.all()


def test_a_reserve_of_which_few_lie_apart_goes_on_one_by_one_as_the_exact_picks_would() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(640, 3)).astype(np.float32)  # all near to all, beyond one stripe
    apart = np.float32([[1_000 * i, 0, 0] for i in range(1, 61)])
    points = np.concatenate([cloud, apart])
    kernel = gaussian(square_distances(points, points), 6.0)
    weights, nothing = np.concatenate([0.01 * rng.random(640), np.full(60, 4.0)]), np.zeros(700, np.float32)
    picks, gains, first = greedy_cover(kernel, weights, nothing, 130, exact=60)
    exact, exact_gains, _ = greedy_cover(kernel, weights, nothing, 130)
    assert set(picks[:60].tolist()) == set(range(640, 700)), "then a block of 120 is asked for, of which one lies apart"
    assert picks.tolist() == exact.tolist()
    assert gains == pytest.approx(exact_gains, rel=1e-6)
    assert first.all()


def test_a_reserve_ends_where_all_is_covered_and_what_is_picked_one_by_one_goes_on() -> None:
    groups = np.repeat(np.arange(5), 40)
    kernel = (groups[:, None] == groups[None, :]).astype(np.float32)
    picks, _, first = greedy_cover(kernel, np.ones(200), np.zeros(200, np.float32), 200, exact=1)
    assert groups[picks].tolist() == [0, 1, 2, 3, 4]
    assert first.all()
    picks, _, first = greedy_cover(kernel, np.ones(200), np.zeros(200, np.float32), 200, exact=12)
    assert groups[picks].tolist() == [*range(5), *range(5), *range(5)]  # the third cover is completed, then it ends
    assert first.tolist() == [True] * 5 + [False] * 10


def test_shapes_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match="do not go with"):
        greedy_cover(np.ones((2, 3), np.float32), np.ones(2), np.zeros(3, np.float32), 1)


def test_the_radius_is_the_largest_that_keeps_most_balls_pure() -> None:
    left = np.linspace(0.0, 1.0, 10)
    points = np.r_[left, left + 4.0][:, None].astype(np.float32)
    # Each point's distance to the other group is 3 at the edge and grows by a ninth inwards, on both sides.
    assert pure_radius(points, 2, seed=0, pure=1.0) == pytest.approx(3.0)
    assert pure_radius(points, 2, seed=0, pure=0.8) == pytest.approx(3.0 + 1 / 9, abs=1e-5)
    assert pure_radius(points, 1, seed=0) == pytest.approx(0.5 * np.ptp(points), rel=0.5)
    assert pure_radius(np.ones((4, 2), np.float32), 3, seed=0) == 0.0
