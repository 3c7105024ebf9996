"""The head behind probabilities is found again."""

from __future__ import annotations

import numpy as np
import pytest

from sampler.errors import InvalidInput
from sampler.head import LinearHead, recover_head

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(200, 7)).astype(np.float32)
OTHERS = RNG.normal(size=(50, 7)).astype(np.float32)
HEAD = LinearHead(RNG.normal(size=(4, 7)).astype(np.float32), RNG.normal(size=4).astype(np.float32))


def test_a_softmax_over_linear_scores_is_found_again_from_its_probabilities() -> None:
    found = recover_head(POINTS, HEAD.probabilities(POINTS))
    np.testing.assert_allclose(found.probabilities(OTHERS), HEAD.probabilities(OTHERS), atol=1e-4)


def test_so_is_one_that_has_not_met_a_class() -> None:
    p = HEAD.probabilities(POINTS).astype(np.float64) * (1 - 1e-6)
    found = recover_head(POINTS, np.hstack([p[:, :2], np.full((200, 1), 1e-6), p[:, 2:]]))
    expected = HEAD.probabilities(OTHERS)
    got = found.probabilities(OTHERS)
    assert got[:, 2].max() < 1e-3
    np.testing.assert_allclose(got[:, [0, 1, 3, 4]], expected, atol=2e-3)


def test_fewer_rows_than_columns_and_rows_that_are_all_alike_are_no_obstacle() -> None:
    few = recover_head(POINTS[:3], HEAD.probabilities(POINTS[:3]))
    np.testing.assert_allclose(few.probabilities(POINTS[:3]), HEAD.probabilities(POINTS[:3]), atol=1e-3)
    same = recover_head(np.ones((9, 7), np.float32), np.tile([[0.2, 0.8]], (9, 1)))
    np.testing.assert_allclose(same.probabilities(np.ones((2, 7), np.float32)), [[0.2, 0.8]] * 2, atol=1e-5)


def test_certainty_is_finite() -> None:
    found = recover_head(POINTS, np.tile([[1.0, 0.0]], (200, 1)))
    np.testing.assert_allclose(found.probabilities(OTHERS), [[1.0, 0.0]] * 50, atol=1e-6)


def test_no_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="do not go with"):
        recover_head(POINTS[:0], np.empty((0, 2)))
