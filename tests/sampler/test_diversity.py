"""Distances and k-means, beside their plain forms."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans, kmeans_plusplus

from sampler.diversity import gather, kmeans, nearest_distances, spread_starts, square_distances
from sampler.errors import InvalidInput


def test_distances_are_those_of_the_formula_and_never_negative() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 7)).astype(np.float32), rng.normal(size=(9, 7)).astype(np.float32)
    expected = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    np.testing.assert_allclose(square_distances(a, b), expected, rtol=1e-4)
    assert square_distances(a * 1e-3, a * 1e-3).min() >= 0.0
    np.testing.assert_allclose(nearest_distances(a, b), expected.min(axis=1), rtol=1e-4)


def test_kmeans_finds_groups_that_are_far_apart() -> None:
    groups = np.repeat(np.arange(6), 30)
    points = (np.eye(6)[groups] * 9 + np.random.default_rng(0).normal(scale=0.1, size=(180, 6))).astype(np.float32)
    assigned, centres = kmeans(points, 6, seed=1)
    assert len({tuple(set(assigned[groups == g].tolist())) for g in range(6)}) == 6
    assert centres.shape == (6, 6)


@pytest.mark.parametrize("k", [1, 5, 50])
def test_kmeans_of_identical_points_or_too_few_points_is_no_error(k: int) -> None:
    points = np.ones((10, 2), np.float32)
    assigned, centres = kmeans(points, k, weights=np.zeros(10))
    assert assigned.shape == (10,)
    assert np.isfinite(centres).all()


def test_kmeans_of_a_large_problem_is_seeded_too() -> None:
    points = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    first, second = kmeans(points, 450, seed=3)[0], kmeans(points, 450, seed=3)[0]
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) > 400


def test_clusters_are_as_tight_as_those_of_scikit_learn_though_starts_are_spread_over_a_part() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(scale=2.0, size=(40, 8))[rng.integers(40, size=1_500)] + rng.normal(size=(1_500, 8))
    points = points.astype(np.float32)
    ours, theirs = [], []
    for seed in range(5):
        assigned, centres = kmeans(points, 60, seed=seed)
        ours.append(float(((points - centres[assigned]) ** 2).sum()))
        theirs.append(KMeans(60, n_init=1, random_state=seed).fit(points).inertia_)
    assert np.mean(ours) < 1.03 * np.mean(theirs)


def test_gathering_names_the_row_that_is_not_finite() -> None:
    features = np.ones((50, 3), np.float16)
    features[37, 1] = np.inf
    with pytest.raises(InvalidInput, match="row 37"):
        gather(features, np.array([3, 37, 40]))
    assert gather(features, np.array([3, 40])).dtype == np.float32


def test_large_but_finite_features_are_taken() -> None:
    features = np.full((50, 3), 3e38, np.float32)
    assert gather(features, np.arange(50)).shape == (50, 3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 9, 60])
def test_starts_are_those_of_scikit_learn(k: int, weighted: bool) -> None:
    rng = np.random.default_rng(k)
    points = rng.normal(size=(400, 12)).astype(np.float32)
    weights = rng.random(400) if weighted else np.ones(400)
    for seed in range(3):
        _, chosen = kmeans_plusplus(points, k, sample_weight=weights, random_state=seed)
        assert spread_starts(points, k, weights, seed).tolist() == chosen.tolist()


def test_starts_beyond_what_is_paired_are_scikit_learns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    paired = spread_starts(points, 20, np.ones(300), 1).tolist()
    monkeypatch.setattr("sampler.diversity._MOST_PAIRED", 100)
    assert spread_starts(points, 20, np.ones(300), 1).tolist() == paired


def test_starts_among_fewer_points_than_clusters_are_found() -> None:
    points = np.repeat(np.eye(2, 4, dtype=np.float32), 5, axis=0)
    chosen = spread_starts(points, 6, np.ones(10), 0)
    assert chosen.shape == (6,)
    assert {int(p) // 5 for p in chosen} == {0, 1}
