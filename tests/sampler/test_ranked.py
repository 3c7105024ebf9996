"""Ranked batch mode, beside modAL's."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sampler.modal import load_modal
from sampler.ranked import ranked_batch


def modals(points: np.ndarray, scores: np.ndarray, covered: np.ndarray | None, size: int) -> list[int]:
    load_modal()
    from modAL.batch import ranked_batch as theirs

    learner = SimpleNamespace(X_training=covered, on_transformed=False)
    picks, _ = theirs(learner, points, scores, size, "euclidean", None)
    return [int(pick) for pick in picks]


@pytest.mark.parametrize(("n", "n_covered"), [(150, 1), (150, 12), (150, 400), (1_500, 3), (1_500, 200)])
def test_picks_are_modals(n: int, n_covered: int) -> None:
    rng = np.random.default_rng(n_covered)
    points, covered = rng.normal(size=(n, 4)), rng.normal(size=(n_covered, 4))
    scores = rng.random(n)
    picks, values, _ = ranked_batch(points.astype(np.float32), scores, covered.astype(np.float32), 60)
    assert picks.tolist() == modals(points, scores, covered, 60)
    assert ((values >= 0.0) & (values <= 1.0)).all()


def test_with_nothing_labelled_the_first_is_the_most_central_as_in_modal() -> None:
    rng = np.random.default_rng(1)
    points, scores = rng.normal(size=(90, 3)), rng.random(90)
    picks, _, _ = ranked_batch(points.astype(np.float32), scores, np.empty((0, 3), np.float32), 25)
    assert picks[0] == modals(points, scores, None, 1)[0]
    # From there on it is the plain algorithm with that one labelled, and one unlabelled item fewer.
    rest = np.delete(np.arange(90), picks[0])
    expected = modals(points[rest], scores[rest], points[picks[:1]], 24)
    assert picks[1:].tolist() == rest[expected].tolist()


def test_the_mixture_is_that_of_the_whole_pool_where_a_part_is_looked_at() -> None:
    points, covered = np.array([[1.0], [9.0]], np.float32), np.zeros((1, 1), np.float32)
    scores = np.array([1.0, 0.0])
    # 2 of 3 unlabelled: 2/3 · 1/2 + 1/3 = .667 against 2/3 · 9/10 = .6; 99 of 100: distance decides.
    picks, values, _ = ranked_batch(points, scores, covered, 2)
    assert picks.tolist() == [0, 1]
    np.testing.assert_allclose(values, [2 / 3, (1 / 3) * 8 / 9], rtol=1e-6)
    assert ranked_batch(points, scores, covered, 2, n_pool=99, n_labeled=1)[0].tolist() == [1, 0]


def test_what_is_left_is_scored_with_all_picks_counted_as_labelled() -> None:
    rng = np.random.default_rng(2)
    points, covered, scores = rng.normal(size=(80, 4)), rng.normal(size=(5, 4)), rng.random(80)
    picks, _, after = ranked_batch(points.astype(np.float32), scores, covered.astype(np.float32), 10)
    assert np.isneginf(after[picks]).all()
    nearest = np.linalg.norm(points[:, None] - np.r_[covered, points[picks]][None], axis=2).min(axis=1)
    expected = 70 / 85 * (nearest / (1 + nearest)) + 15 / 85 * scores
    left = np.setdiff1d(np.arange(80), picks)
    np.testing.assert_allclose(after[left], expected[left], rtol=1e-4)


def test_identical_points_and_more_picks_than_points_are_no_obstacle() -> None:
    picks, values, _ = ranked_batch(np.ones((70, 2), np.float32), np.zeros(70), np.ones((1, 2), np.float32), 200)
    assert sorted(picks.tolist()) == list(range(70))
    assert values.tolist() == [0.0] * 70
    assert ranked_batch(np.empty((0, 2), np.float32), np.empty(0), np.empty((0, 2), np.float32), 3)[0].shape == (0,)


def test_scores_afterwards_cost_nothing_where_nobody_wants_them() -> None:
    rng = np.random.default_rng(2)
    points, scores = rng.normal(size=(300, 4)).astype(np.float32), rng.random(300)
    picks, values, exact = ranked_batch(points, scores, points[:9] + 0.1, 30)
    same, same_values, bounds = ranked_batch(points, scores, points[:9] + 0.1, 30, afterwards=False)
    assert same.tolist() == picks.tolist()
    assert same_values.tolist() == values.tolist()
    assert (bounds >= exact).all()
    assert (bounds > exact).any()
