"""Symmetric matrices by half, beside whole ones."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.diversity import square_distances
from sampler.errors import InvalidInput
from sampler.symmetric import Symmetric


@pytest.mark.parametrize("n", [1, 7, 512, 1_300])
def test_distances_by_half_are_those_of_all_pairs(n: int) -> None:
    points = np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)
    half, whole = Symmetric.square_distances(points), square_distances(points, points)
    np.fill_diagonal(whole, 0.0)
    rows = np.stack([half.row(i) for i in range(n)])
    np.testing.assert_allclose(rows, whole, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(rows, rows.T)
    np.testing.assert_array_equal(rows.diagonal(), np.zeros(n))
    assert len(half) == n
    assert sum(stripe.size for stripe in half.stripes) <= n * (n + 512) / 2


def test_equal_points_are_equally_far_from_all_others() -> None:
    points = np.random.default_rng(0).integers(-9, 9, size=(512, 9)).astype(np.float32)
    half = Symmetric.square_distances(np.concatenate([points, points]))
    for i in (0, 100, 511):
        np.testing.assert_array_equal(half.row(i), half.row(i + 512))


def test_a_whole_matrix_is_looked_at_and_not_copied() -> None:
    whole = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    half = Symmetric.of(whole + whole.T)
    assert half.row(2).tolist() == [8.0, 12.0, 16.0]
    assert half.map(lambda stripe: stripe * 2.0).row(1).tolist() == [8.0, 16.0, 24.0]
    assert [start for start, _ in half.placed()] == [0]
    with pytest.raises(InvalidInput, match=r"shape \(2, 3\) is no square"):
        Symmetric.of(np.ones((2, 3), np.float32))


def test_of_nothing_there_is_nothing() -> None:
    assert len(Symmetric.square_distances(np.empty((0, 3), np.float32))) == 0


@pytest.mark.parametrize("n", [7, 1_300])
def test_squares_and_maxima_of_some_rows_are_those_of_the_rows_one_by_one(n: int) -> None:
    rng = np.random.default_rng(n)
    half = Symmetric.square_distances(rng.normal(size=(n, 5)).astype(np.float32))
    rows = np.stack([half.row(i) for i in range(n)])
    some = np.sort(rng.choice(n, n // 2, replace=False))
    np.testing.assert_array_equal(half.square(some), rows[np.ix_(some, some)])
    np.testing.assert_array_equal(half.row_maxima(some), rows[some].max(axis=0))
    assert half.square(some[:0]).shape == (0, 0)
    np.testing.assert_array_equal(half.row_maxima(some[:0]), np.zeros(n))
