"""Gradient embeddings without the matrix of them, beside the matrix."""

from __future__ import annotations

import numpy as np

from sampler.diversity import HalfRows
from sampler.gradients import (
    Gradients,
    Residuals,
    nearest_gradients,
    residuals,
    spread_gradients,
    square_gradient_distances,
)


def gradients(n: int, d: int = 4, n_classes: int = 3, seed: int = 0) -> Gradients:
    rng = np.random.default_rng(seed)
    return Gradients(residuals(rng.dirichlet(np.ones(n_classes), n)), rng.normal(size=(n, d)).astype(np.float32))


def written_out(g: Gradients) -> np.ndarray:
    return (g.a[:, :, None].astype(np.float64) * g.x[:, None, :]).reshape(len(g), -1)


def none(d: int = 4, n_classes: int = 3) -> Gradients:
    return Gradients(np.empty((0, n_classes), np.float32), np.empty((0, d), np.float32))


def test_distances_and_lengths_are_those_of_the_matrix() -> None:
    one, other = gradients(20), gradients(9, seed=1)
    a, b = written_out(one), written_out(other)
    expected = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    np.testing.assert_allclose(square_gradient_distances(one, other), expected, rtol=1e-4)
    np.testing.assert_allclose(nearest_gradients(one, other), expected.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(one.square_lengths(), (a**2).sum(axis=1), rtol=1e-5)
    assert np.diag(square_gradient_distances(one, one)).tolist() == [0.0] * 20


def test_draws_are_in_proportion_to_the_squared_distance_to_what_is_drawn() -> None:
    pool, covered, weights = gradients(6), gradients(2, seed=3), np.array([1.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    distance = nearest_gradients(pool, covered)
    first = weights * distance / (weights * distance).sum()
    matrix = written_out(pool)
    counts, second_given = np.zeros(6), np.zeros((6, 6))
    n = 6_000
    for seed in range(n):
        picks, squares = spread_gradients(pool, weights, covered, 2, np.random.default_rng(seed))
        counts[picks[0]] += 1
        second_given[picks[0], picks[1]] += 1
        np.testing.assert_allclose(squares[0], distance[picks[0]], rtol=1e-5)
    assert np.abs(counts / n - first).max() < 4 * np.sqrt(0.25 / n)
    for i in np.flatnonzero(counts > 500):
        after = weights * np.minimum(distance, ((matrix - matrix[i]) ** 2).sum(axis=1))
        assert np.abs(second_given[i] / counts[i] - after / after.sum()).max() < 4 * np.sqrt(0.25 / counts[i])


def test_the_first_of_all_is_drawn_by_its_length_and_the_second_by_its_distance_alone() -> None:
    x = np.array([[1.0], [-3.0], [0.0]], np.float32)
    pool = Gradients(np.ones((3, 1), np.float32), x)
    draws = [spread_gradients(pool, np.ones(3), none(1, 1), 2, np.random.default_rng(s))[0] for s in range(4_000)]
    firsts = np.bincount([d[0] for d in draws], minlength=3) / 4_000
    assert np.abs(firsts - [0.1, 0.9, 0.0]).max() < 0.03
    # From −3, the point at 1 lies 16 away and that at 0 lies 9: neither is bounded by its own length of 1 or 0.
    seconds = np.array([d[1] for d in draws if d[0] == 1])
    assert abs(float((seconds == 2).mean()) - 9 / 25) < 0.03


def test_a_long_draw_starts_with_the_short_one_and_holds_nothing_twice() -> None:
    pool = gradients(500)
    long, distances = spread_gradients(pool, np.ones(500), none(), 500, np.random.default_rng(5))
    short, _ = spread_gradients(pool, np.ones(500), none(), 40, np.random.default_rng(5))
    np.testing.assert_array_equal(short, long[:40])
    assert len(set(long.tolist())) == len(long) >= 499
    matrix = written_out(pool)
    for i in (1, 30, 90):
        nearest = ((matrix[long[:i]] - matrix[long[i]]) ** 2).sum(axis=1).min()
        np.testing.assert_allclose(distances[i], nearest, rtol=1e-3, atol=1e-6)


def test_the_draw_ends_where_all_that_is_left_equals_something_drawn() -> None:
    three = gradients(3)
    copies = three[np.repeat(np.arange(3), 40)]
    picks, _ = spread_gradients(copies, np.ones(120), none(), 120, np.random.default_rng(0))
    assert sorted((picks // 40).tolist()) == [0, 1, 2]
    assert len(spread_gradients(copies, np.ones(120), three, 5, np.random.default_rng(0))[0]) == 0
    sure = Gradients(residuals(np.tile([[1.0, 0.0]], (9, 1))), np.ones((9, 4), np.float32))
    assert len(spread_gradients(sure, np.ones(9), none(4, 2), 5, np.random.default_rng(0))[0]) == 0
    assert len(spread_gradients(none(), np.ones(0), none(), 5, np.random.default_rng(0))[0]) == 0


def test_features_in_half_precision_give_the_draw_of_the_same_in_single_precision() -> None:
    rng = np.random.default_rng(2)
    a, x = residuals(rng.dirichlet(np.ones(3), 2_500)), rng.normal(size=(2_500, 6)).astype(np.float16)
    half, single = Gradients(a, x), Gradients(a, x.astype(np.float32))
    np.testing.assert_array_equal(half.square_lengths(), single.square_lengths())
    np.testing.assert_array_equal(
        nearest_gradients(half, half[np.array([3, 9])]), nearest_gradients(single, single[np.array([3, 9])])
    )
    draws = [
        spread_gradients(g, np.ones(2_500), g[np.array([7])], 60, np.random.default_rng(4)) for g in (half, single)
    ]
    np.testing.assert_array_equal(draws[0][0], draws[1][0])
    np.testing.assert_array_equal(draws[0][1], draws[1][1])
    assert half.measured()[np.array([1, 5])].square_lengths().tolist() == half.square_lengths()[[1, 5]].tolist()


def test_what_is_read_when_it_is_asked_for_gives_the_draw_of_what_is_kept() -> None:
    rng = np.random.default_rng(2)
    p, x = rng.dirichlet(np.ones(3), 3_000), rng.normal(size=(3_000, 6)).astype(np.float16)
    rows = np.sort(rng.permutation(3_000)[:2_500])
    kept, lazy = Gradients(residuals(p[rows]), x[rows]), Gradients(Residuals(p, rows), HalfRows(x, rows))
    np.testing.assert_array_equal(kept.square_lengths(), lazy.square_lengths())
    draws = [spread_gradients(g, np.ones(2_500), g[np.array([7])], 60, np.random.default_rng(4)) for g in (kept, lazy)]
    np.testing.assert_array_equal(draws[0][0], draws[1][0])
    np.testing.assert_array_equal(draws[0][1], draws[1][1])
