"""Diffused features: a walk over the graph of neighbours, in which measured rows are nobody's neighbour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampler import diffusion
from sampler.diffusion import RESTART, STEPS, DiffusedPool, blend, diffuse, drawn_references
from sampler.errors import InvalidInput
from sampler.neighbours import nearest_rows


def clumps(n: int = 240, d: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(4, size=n)
    X = np.random.default_rng(7).normal(size=(4, d))[y] * 2 + rng.normal(size=(n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), y


def plain(X: np.ndarray, k: int = 10) -> np.ndarray:
    """The same by full matrices: the mean of what a walk meets that goes back with a chance of `RESTART`."""
    near = np.zeros((len(X), len(X)))
    distances = ((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    for row, order in enumerate(np.argsort(distances, axis=1, kind="stable")[:, :k]):
        near[row, order] = 1
    both = near + near.T
    walk = both / both.sum(axis=1, keepdims=True)
    met = X.astype(np.float64)
    for _ in range(STEPS):
        met = RESTART * X + (1 - RESTART) * walk @ met
    return met / np.linalg.norm(met, axis=1, keepdims=True)


def test_it_is_the_walk_that_its_description_says() -> None:
    X, _ = clumps()
    everyone = np.arange(len(X))
    np.testing.assert_allclose(diffuse(X, everyone).of_rows(everyone), plain(X), atol=2e-6)


def test_rows_of_one_clump_come_together() -> None:
    X, y = clumps()
    everyone = np.arange(len(X))
    Z = diffuse(X, everyone).of_rows(everyone)
    same = y[:, None] == y[None]
    np.fill_diagonal(same, False)

    def contrast(rows: np.ndarray) -> float:
        cosines = rows @ rows.T
        return float(cosines[same].mean() - cosines[y[:, None] != y[None]].mean())

    assert contrast(X) < 0.7 < 0.8 < contrast(Z)


def test_a_row_outside_the_graph_is_the_blend_of_itself_and_its_neighbours_and_is_nobodys_neighbour() -> None:
    X, _ = clumps()
    inside = np.arange(0, 200)
    pool = diffuse(X, inside)
    assert pool.references.tolist() == inside.tolist()
    near = nearest_rows(X, np.array([230]), inside, 10).rows[0]
    met = pool.spread * pool.lengths[:, None]
    expected = RESTART * X[230] + (1 - RESTART) * met[near].mean(axis=0)
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(pool.of_rows(np.array([230]))[0], expected, atol=1e-6)
    np.testing.assert_allclose(pool.of_features(X[230:231])[0], expected, atol=1e-6)
    changed = X.copy()
    changed[200:] = -changed[200:]
    np.testing.assert_array_equal(diffuse(changed, inside).of_rows(inside), pool.of_rows(inside))


def test_a_row_that_is_nobodys_neighbour_looks_outside_of_the_graph_as_it_does_in_it() -> None:
    X = np.random.default_rng(5).normal(size=(400, 60)).astype(np.float32)  # some rows are near to many, others to none
    everyone = np.arange(len(X))
    lonely = np.setdiff1d(everyone, nearest_rows(X, everyone, everyone, 10).rows)
    others = np.setdiff1d(everyone, lonely)
    assert len(lonely) > 20
    pool = diffuse(X, everyone)
    without = DiffusedPool(X, others, pool.spread[others], pool.lengths[others], None)
    np.testing.assert_allclose(without.of_rows(lonely), pool.of_rows(lonely), atol=1e-5)


def test_rows_come_in_the_order_in_which_they_were_asked_for() -> None:
    X, _ = clumps()
    pool = diffuse(X, np.arange(0, 240, 2))
    rows = np.array([7, 2, 239, 100, 2])
    np.testing.assert_array_equal(pool.of_rows(rows), np.stack([pool.of_rows(np.array([row]))[0] for row in rows]))
    assert pool.of_rows(np.empty(0, np.int64)).shape == (0, 12)


def test_the_scaling_decides_who_is_near_and_what_is_averaged() -> None:
    X, _ = clumps()
    stretched = X * 5 + 3
    scaling = (np.full(12, 3.0), np.full(12, 5.0))
    everyone = np.arange(len(X))
    pool = diffuse(stretched, everyone, scaling=scaling)
    np.testing.assert_allclose(pool.of_rows(everyone), diffuse(X, everyone).of_rows(everyone), atol=1e-4)
    new = clumps(seed=3)[0][:5]
    np.testing.assert_allclose(
        pool.of_features(new * 5 + 3), diffuse(X, everyone).of_features(new), atol=1e-4
    )  # fmt: skip


def test_duplicates_and_constant_features_stay_finite() -> None:
    X, _ = clumps(120)
    everyone = np.arange(240)
    twice = np.concatenate([X, X])
    Z = diffuse(twice, everyone).of_rows(everyone)
    np.testing.assert_allclose(np.linalg.norm(Z, axis=1), 1.0, atol=1e-5)
    same = diffuse(np.ones((50, 3), np.float32), np.arange(50)).of_rows(np.arange(50))
    np.testing.assert_allclose(same, np.full((50, 3), 3**-0.5), atol=1e-5)
    assert diffuse(np.zeros((50, 3), np.float32), np.arange(50)).of_rows(np.arange(50)).tolist() == [[0.0] * 3] * 50


def test_a_large_pool_is_seen_from_a_seeded_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffusion, "MOST_REFERENCES", 60)
    X, _ = clumps()
    everyone = np.arange(len(X))
    pool = diffuse(X, everyone)
    assert len(pool.references) == 60
    assert pool.references.tolist() == drawn_references(everyone[::-1]).tolist()
    assert drawn_references(everyone, seed=1).tolist() != pool.references.tolist()
    Z = pool.of_rows(everyone)
    np.testing.assert_array_equal(Z[pool.references], pool.spread)
    assert np.isfinite(Z).all()


def test_taking_it_up_again_gives_the_same(tmp_path: Path) -> None:
    X, _ = clumps()
    X.astype(np.float16).tofile(tmp_path / "features")
    mapped = np.memmap(tmp_path / "features", np.float16, "r", shape=X.shape)
    inside = np.arange(150)
    pool = diffuse(mapped, inside)
    again = DiffusedPool(mapped, inside, pool.of_rows(inside), pool.lengths, None)
    everyone = np.arange(len(X))
    np.testing.assert_array_equal(again.of_rows(everyone), pool.of_rows(everyone))


def test_a_blend_is_half_the_row_and_half_its_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    X, _ = clumps()
    scaling = (np.full(12, 3.0), np.full(12, 5.0))
    diffused = diffuse(X, np.arange(len(X))).of_rows(np.arange(len(X)))
    whole = blend(X * 5 + 3, diffused, scaling=scaling)
    expected = X / np.linalg.norm(X, axis=1, keepdims=True) + diffused
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(whole.astype(np.float32), expected, atol=1e-3)
    monkeypatch.setattr(diffusion, "_ROWS", 7)
    np.testing.assert_array_equal(blend(X * 5 + 3, diffused, scaling=scaling), whole)


def test_a_row_of_zeros_is_its_surroundings_alone() -> None:
    assert blend(np.zeros((1, 2), np.float32), np.float32([[0, 1]])).tolist() == [[0.0, 1.0]]
    assert blend(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)).tolist() == [[0.0, 0.0]]
    assert blend(np.empty((0, 2), np.float32), np.empty((0, 2), np.float32)).shape == (0, 2)


def test_features_that_are_nan_are_refused() -> None:
    X, _ = clumps()
    X[3, 2] = np.nan
    with pytest.raises(InvalidInput, match="features"):
        diffuse(X, np.arange(len(X)))
