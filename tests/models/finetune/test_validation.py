"""Which labels a run is judged by."""

from __future__ import annotations

import numpy as np
import pytest

from models.finetune.validation import calibrated_loss, validation_rows

NOBODY = np.zeros(400, bool)


def held(y, exploration, seed=0):
    return validation_rows(y, exploration, np.random.default_rng(seed))


def test_a_tenth_is_held_out_and_at_least_twenty():
    y = np.arange(400) % 4
    assert len(held(y, NOBODY)) == 40
    assert len(held(y[:100], NOBODY[:100])) == 20
    assert len(held(np.arange(5_000) % 4, np.zeros(5_000, bool))) == 200
    assert held(y, NOBODY).tolist() == held(y, NOBODY).tolist() != held(y, NOBODY, seed=1).tolist()


def test_they_are_uniformly_drawn_ones_where_there_are_thirty_of_those():
    y, explored = np.arange(400) % 4, np.arange(400) < 60
    assert held(y, explored).max() < 60
    assert held(y, np.arange(400) < 29).max() > 60


def test_each_class_keeps_two_rows_and_with_too_few_labels_none_is_held_out():
    y = np.array([0] * 60 + [1, 1, 2])
    rows = held(y, NOBODY[:63])
    assert set(y[rows]) == {0}
    assert len(held(np.arange(40) % 20, NOBODY[:40])) == 0


def test_a_run_is_judged_at_its_best_temperature():
    P, y = np.array([[0.999, 0.001]] * 4), np.array([0, 0, 0, 1])
    loss, temperature = calibrated_loss(P, y)
    assert loss == pytest.approx(-(3 * np.log(0.75) + np.log(0.25)) / 4, abs=0.02)
    assert temperature == pytest.approx(5.0)
