"""Half-precision rows, widened without NumPy's cast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sampler.chunks import feature_chunks
from sampler.diversity import HalfRows, gather
from sampler.errors import InvalidInput
from sampler.half import all_finite, widen
from sampler.query import QueryContext

EVERY = np.arange(2**16, dtype=np.uint16).view(np.float16)


def test_every_finite_half_comes_out_exactly() -> None:
    finite = EVERY[np.isfinite(EVERY)].reshape(-1, 32)
    out = np.full((len(finite) + 1, 32), 7.0, dtype=np.float32)
    wide = widen(finite, out)
    assert wide.base is out
    np.testing.assert_array_equal(wide.view(np.int32), finite.astype(np.float32).view(np.int32))
    assert (out[-1] == 7.0).all()
    strided = finite[:, ::2]
    np.testing.assert_array_equal(widen(strided, np.empty(strided.shape, np.float32)), strided)


def test_each_half_that_is_not_finite_is_seen() -> None:
    found = [all_finite(value.reshape(1, 1)) for value in EVERY]
    np.testing.assert_array_equal(found, np.isfinite(EVERY))
    assert all_finite(np.empty((0, 3), np.float16))
    assert not all_finite(np.array([[1, np.inf], [1, 1]], np.float16).T)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_half_that_is_not_finite_is_refused_by_its_row(value: float) -> None:
    X = np.zeros((9_000, 3), dtype=np.float16)
    X[8_123, 1] = value
    rows = np.arange(100, 9_000)
    with pytest.raises(InvalidInput, match="row 8123 holds NaN or infinity"):
        gather(X, rows)
    with pytest.raises(InvalidInput, match="row 8123 holds NaN or infinity"):
        list(feature_chunks(X, rows))


def test_halves_come_in_the_order_that_was_asked_for() -> None:
    X = np.random.default_rng(0).normal(size=(5_000, 384)).astype(np.float16)
    rows = np.r_[np.arange(4_000), 4_900, 17, 4_500]
    np.testing.assert_array_equal(gather(X, rows), X[rows].astype(np.float32))
    stretches = [(stretch, chunk.copy()) for stretch, chunk in feature_chunks(X, rows)]
    assert [stretch.start for stretch, _ in stretches] == [0, 2_048]
    np.testing.assert_array_equal(np.concatenate([chunk for _, chunk in stretches]), X[rows].astype(np.float32))


def test_half_precision_is_read_as_it_is_and_refused_as_ever() -> None:
    X = np.random.default_rng(1).normal(size=(2_000, 5)).astype(np.float16)
    rows = np.random.default_rng(2).permutation(2_000)[:1_200]
    stored = HalfRows(X, rows)
    assert (len(stored), stored.shape) == (1_200, (1_200, 5))
    np.testing.assert_array_equal(stored[:], X[rows])
    np.testing.assert_array_equal(stored[np.array([9, 2])], X[rows[[9, 2]]])
    X[rows[700], 2] = np.inf
    for read in (lambda: gather(X, rows), lambda: stored[600:800]):
        with pytest.raises(InvalidInput, match=f"row {rows[700]} holds NaN or infinity"):
            read()


def test_points_are_compact_only_where_they_are_stored_so_and_mean_something() -> None:
    X = np.random.default_rng(1).normal(size=(30, 5)).astype(np.float16)
    nobody = np.empty(0, np.int64)
    ctx = QueryContext(X, np.arange(30), nobody, nobody, 2, np.random.default_rng(0))
    scaling = (np.ones(5), np.full(5, 2.0))
    rows = np.array([4, 2])
    np.testing.assert_array_equal(ctx.compact_points(rows)[:], X[rows])
    for other in (replace(ctx, scaling=scaling), replace(ctx, features=X.astype(np.float32))):
        compact = other.compact_points(rows)
        assert compact.dtype == np.float32
        np.testing.assert_array_equal(compact, other.points(rows))
