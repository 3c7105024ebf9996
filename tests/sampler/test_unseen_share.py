"""The estimate of how much of a pool is of classes without labels."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from sampler.unseen_share import unseen_share

NONE = np.empty(0, np.int64)


def test_without_uniformly_drawn_labels_there_is_no_estimate() -> None:
    assert unseen_share(np.array([0, 1]), NONE, NONE, 3) is None


def test_a_label_counts_where_it_is_the_only_one_of_its_class() -> None:
    drawn = np.array([0, 0, 1, 2, 3])
    found = unseen_share(np.array([2, 4]), drawn, NONE, 6)
    assert found is not None
    assert (found.value, found.labels) == (2 / 5, 5), "1 and 3 are alone; 2 has another label that was chosen"


def test_measured_labels_count_where_nothing_is_trained_on_their_class() -> None:
    found = unseen_share(np.array([0, 1]), NONE, np.array([0, 0, 1, 2, 2, 2, 0, 1]), 3)
    assert found is not None
    assert (found.value, found.labels) == (3 / 8, 8)
    exact = binomtest(3, 8).proportion_ci(0.95, "exact")
    assert found.high == pytest.approx(exact.high, abs=1e-9)
    assert found.low == pytest.approx(exact.low, abs=1e-9)


def test_there_is_nothing_unseen_once_each_class_has_a_label() -> None:
    found = unseen_share(np.array([0]), np.array([1]), np.array([0, 1]), 2)
    assert found is not None
    assert (found.value, found.low, found.high, found.labels) == (0.0, 0.0, 0.0, 3)


def test_none_alone_still_leaves_room_and_all_alone_leaves_all() -> None:
    some = unseen_share(NONE, np.array([0, 0, 0, 1, 1, 1]), NONE, 3)
    every = unseen_share(NONE, np.array([0, 1, 2]), NONE, 4)
    assert some is not None
    assert every is not None
    assert (some.value, some.low) == (0.0, 0.0)
    assert 0.2 < some.high < 0.6
    assert (every.value, every.high) == (1.0, 1.0)


@pytest.mark.parametrize("n", [20, 100])
def test_the_interval_holds_the_true_share(n: int) -> None:
    rng = np.random.default_rng(n)
    weights = 1.0 / np.arange(1, 41)
    weights /= weights.sum()
    held = []
    for _ in range(400):
        y = rng.choice(40, n, p=weights)
        found = unseen_share(NONE, y, NONE, 40)
        assert found is not None
        held.append(found.low <= weights[np.setdiff1d(np.arange(40), y)].sum() <= found.high)
    assert np.mean(held) > 0.92
