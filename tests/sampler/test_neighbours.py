"""Nearest neighbours beside sorting all distances; by cells beside the exact ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from sampler import cells, neighbours
from sampler.errors import InvalidInput
from sampler.neighbours import nearest_rows, recall


def oracle(points: np.ndarray, queries: np.ndarray, references: np.ndarray, k: int) -> np.ndarray:
    """All distances in float64, sorted; the query itself left out, ties to the lower row."""
    points = points.astype(np.float64)
    found = []
    for query in queries:
        others = np.array(sorted(set(references.tolist()) - {int(query)}))
        distances = ((points[others] - points[query]) ** 2).sum(axis=1)
        found.append(others[np.argsort(distances, kind="stable")[:k]])
    return np.array(found)


def clumps(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(40, d))[rng.integers(40, size=n)] + 0.3 * rng.normal(size=(n, d))).astype(np.float16)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a few hundred rows go over many."""
    monkeypatch.setattr(neighbours, "_QUERY_ROWS", 30)
    monkeypatch.setattr(neighbours, "_FIRST_ROWS", 7)
    monkeypatch.setattr(neighbours, "_REFERENCE_ROWS", 50)


def test_neighbours_on_a_line_are_those_one_can_count() -> None:
    points = np.array([[0.0], [1.0], [3.0], [7.0]], np.float32)
    found = nearest_rows(points, np.array([1, 2]), np.arange(4), k=2)
    assert found.rows.tolist() == [[0, 2], [1, 0]]
    assert found.distances.tolist() == [[1.0, 4.0], [4.0, 9.0]]


@pytest.mark.usefixtures("small_blocks")
def test_the_exact_search_finds_what_sorting_all_distances_finds() -> None:
    features = clumps(400)
    queries, references = np.array([399, 0, 17, 200]), np.arange(0, 400, 2)
    found = nearest_rows(features, queries, references, k=10)
    np.testing.assert_array_equal(found.rows, oracle(features, queries, references, 10))
    assert (np.diff(found.distances, axis=1) >= 0).all()


@pytest.mark.usefixtures("small_blocks")
def test_the_order_of_queries_and_references_changes_nothing() -> None:
    features, rng = clumps(300), np.random.default_rng(1)
    rows, order = np.arange(300), rng.permutation(300)
    straight = nearest_rows(features, rows, rows)
    shuffled = nearest_rows(features, order, rng.permutation(300))
    np.testing.assert_array_equal(shuffled.rows, straight.rows[order])
    np.testing.assert_array_equal(shuffled.distances, straight.distances[order])


@pytest.mark.usefixtures("small_blocks")
def test_duplicates_are_told_apart_by_row_number_and_nobody_is_their_own_neighbour() -> None:
    whole = np.random.default_rng(3).integers(-9, 10, size=(5, 16))  # sums of whole numbers are exact
    features = np.tile(whole, (40, 1)).astype(np.float16)  # row i equals row i + 5
    found = nearest_rows(features, np.arange(200), np.arange(200), k=3)
    assert found.rows[0].tolist() == [5, 10, 15]
    assert found.rows[7].tolist() == [2, 12, 17]
    assert found.rows[199].tolist() == [4, 9, 14]
    assert (found.distances == 0.0).all()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("exact_pairs", [10**9, 0])
def test_constant_features_give_the_lowest_rows(exact_pairs: int) -> None:
    found = nearest_rows(np.ones((150, 4), np.float16), np.arange(150), np.arange(150), k=2, exact_pairs=exact_pairs)
    assert found.rows[:3].tolist() == [[1, 2], [0, 2], [0, 1]]
    assert found.rows[149].tolist() == [0, 1]


def test_where_references_run_out_there_is_nobody() -> None:
    features = clumps(6)
    found = nearest_rows(features, np.arange(6), np.array([2, 4]), k=3)
    assert found.rows[2].tolist() == [4, -1, -1]
    assert sorted(found.rows[0].tolist()) == [-1, 2, 4]
    assert np.isinf(found.distances[2, 1:]).all()
    nobody = nearest_rows(features, np.arange(6), np.empty(0, np.int64), k=2)
    assert (nobody.rows == -1).all()
    assert nearest_rows(features, np.empty(0, np.int64), np.arange(6), k=2).rows.shape == (0, 2)


def test_other_rows_may_be_the_nearest_to_themselves() -> None:
    features = clumps(50)
    found = nearest_rows(features, features[[3, 9]].astype(np.float32), np.arange(50), k=1)
    assert found.rows.tolist() == [[3], [9]]


def test_a_scaling_and_the_cosine_change_who_is_near() -> None:
    features = np.array([[1.0, 0.0], [1.0, 9.0], [50.0, 0.0]], np.float32)
    one, rows = np.array([0]), np.arange(3)
    assert nearest_rows(features, one, rows, k=1).rows.tolist() == [[1]]
    scaling = (np.zeros(2), np.array([100.0, 1.0]))
    assert nearest_rows(features, one, rows, k=1, scaling=scaling).rows.tolist() == [[2]]
    cosine = nearest_rows(features, one, rows, k=2, metric="cosine")
    assert cosine.rows.tolist() == [[2, 1]]
    np.testing.assert_allclose(cosine.distances, [[0.0, 2 - 2 / np.sqrt(82)]], rtol=1e-5)


def test_a_zero_row_has_neighbours_by_cosine_too() -> None:
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], np.float16)
    assert nearest_rows(features, np.array([0]), np.arange(3), k=2, metric="cosine").rows.tolist() == [[1, 2]]


@pytest.mark.parametrize("exact_pairs", [10**9, 0])
def test_a_memory_mapped_file_gives_what_the_array_gives(tmp_path: Path, exact_pairs: int) -> None:
    features = clumps(700)
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    rows = np.arange(700)
    here, there = (nearest_rows(f, rows, rows, exact_pairs=exact_pairs) for f in (features, mapped))
    np.testing.assert_array_equal(here.rows, there.rows)


def test_cells_find_nearly_all_and_say_how_much() -> None:
    features, rows = clumps(6_000), np.arange(6_000)
    found = nearest_rows(features, rows, rows, exact_pairs=0, seed=1)
    true = nearest_rows(features, rows, rows)
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows.tolist(), true.rows.tolist(), strict=True)])
    assert share > 0.9
    assert recall(features, rows, rows, found.rows, sample=6_000) == pytest.approx(share, abs=0.002)
    assert (found.rows != rows[:, None]).all()
    everywhere = found.rows == true.rows
    np.testing.assert_allclose(found.distances[everywhere], true.distances[everywhere], atol=1e-4)


def test_cells_are_seeded_and_do_not_hang_on_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "CELL_ROWS", 20)
    monkeypatch.setattr(cells, "PROBES", 3)
    monkeypatch.setattr(cells, "_QUERY_ROWS", 100)
    features, rows = clumps(1_000), np.arange(1_000)
    order = np.random.default_rng(0).permutation(1_000)
    first = nearest_rows(features, rows, rows, exact_pairs=0, seed=5)
    again = nearest_rows(features, order, order, exact_pairs=0, seed=5)
    np.testing.assert_array_equal(again.rows, first.rows[order])
    np.testing.assert_array_equal(again.distances, first.distances[order])


def test_cells_keep_the_lower_of_two_equal_rows_though_cells_come_in_any_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cells, "CELL_ROWS", 6)
    corners = [
        np.array(order) * signs
        for order in itertools.permutations([1, 2, 3])
        for signs in itertools.product([-1, 1], repeat=3)
    ]  # 48 points, all √14 from the origin
    features = np.array([*corners, [0, 0, 0]], np.float32)[np.random.default_rng(2).permutation(49)]
    origin = int(np.argmin(np.abs(features).sum(axis=1)))
    found = nearest_rows(features, np.array([origin]), np.arange(49), k=5, exact_pairs=0)
    assert found.rows.tolist() == [[row for row in range(49) if row != origin][:5]]
    assert found.distances.tolist() == [[14.0] * 5]


def test_recall_counts_what_is_missing_or_wrong() -> None:
    points = np.array([[0.0], [1.0], [2.0], [10.0]], np.float32)
    one, rows = np.array([0]), np.arange(4)
    assert recall(points, one, rows, np.array([[1, 2]])) == 1.0
    assert recall(points, one, rows, np.array([[1, 3]])) == 1 / 2
    assert recall(points, one, rows, np.array([[-1, -1]])) == 0.0
    assert recall(points, one, rows, np.array([[0, 1]])) == 1 / 2  # itself does not count
    assert recall(points, one, rows, np.array([[1, 1]])) == 1 / 2  # nor one twice
    assert recall(points, one, np.array([0]), np.array([[-1]])) == 1.0


def test_what_cannot_be_compared_is_refused() -> None:
    features, rows = np.ones((5, 2), np.float32), np.arange(5)
    broken = features.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InvalidInput, match="row 3"):
        nearest_rows(broken, rows, rows)
    with pytest.raises(InvalidInput, match="row 1"):
        nearest_rows(features, np.array([[1.0, 1.0], [np.inf, 0.0]]), rows)
    with pytest.raises(InvalidInput, match="too large"):
        nearest_rows(np.full((5, 2), 3e38, np.float32), rows, rows)
    with pytest.raises(InvalidInput, match="references: a row is named twice"):
        nearest_rows(features, rows, np.array([1, 1]))
    with pytest.raises(InvalidInput, match="references: a row lies outside 0 … 4"):
        nearest_rows(features, rows, np.array([5]))
    with pytest.raises(InvalidInput, match="queries: 3 columns"):
        nearest_rows(features, np.ones((1, 3)), rows)
    with pytest.raises(InvalidInput, match="k: 0"):
        nearest_rows(features, rows, rows, k=0)
    with pytest.raises(InvalidInput, match="metric: 'manhattan'"):
        nearest_rows(features, rows, rows, metric="manhattan")
