import doctest

import numpy as np
import pytest

import models.curriculum
import models.evaluate
import models.losses
import models.students.bag
import models.transfer
from models.errors import BadInput
from models.evaluate import (
    accuracy,
    agreement,
    brier_score,
    calibration_bins,
    confusion,
    expected_calibration_error,
    log_loss,
    log_losses,
    macro_f1,
)


@pytest.mark.parametrize(
    "module", [models.evaluate, models.curriculum, models.losses, models.students.bag, models.transfer]
)
def test_the_examples_in_the_docstrings_hold(module):
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.attempted > 0
    assert result.failed == 0


def test_accuracy_is_the_share_of_equal_rows():
    assert accuracy([0, 1, 2, 2, 1], [0, 1, 2, 0, 1]) == 4 / 5


def test_agreement_takes_probabilities_or_classes():
    first = np.array([[0.6, 0.4], [0.1, 0.9], [0.7, 0.3]])
    assert agreement(first, [0, 1, 1]) == 2 / 3
    assert agreement(first, first[:, ::-1]) == 0


def test_confusion_counts_true_by_predicted():
    assert confusion([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_macro_f1_leaves_out_classes_that_do_not_occur():
    # Class 0: 2·1/(2·1+0+1) = 2/3; class 1: 2·2/(2·2+1+0) = 4/5; classes 2 and 3 never occur.
    assert macro_f1([0, 0, 1, 1], [0, 1, 1, 1], 4) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_macro_f1_counts_a_class_that_is_only_predicted_as_zero():
    assert macro_f1([0, 0], [0, 1], 2) == pytest.approx((2 / 3 + 0) / 2)


def test_log_loss_is_the_mean_of_minus_log_probability():
    P = [[0.5, 0.5], [0.25, 0.75]]
    assert log_loss([0, 1], P) == pytest.approx(-(np.log(0.5) + np.log(0.75)) / 2)
    assert log_losses([1, 0], [[1.0, 0.0], [1.0, 0.0]])[0] == pytest.approx(-np.log(1e-12))


def test_calibration_bins_hold_equally_many_rows_in_order_of_confidence():
    confidence = np.array([0.55, 0.95, 0.65, 0.85, 0.75, 0.6])
    P = np.stack([confidence, 1 - confidence], axis=1)
    found = calibration_bins([0, 0, 1, 0, 1, 0], P, bins=3)
    assert found.rows.tolist() == [2, 2, 2]
    assert found.confidence == pytest.approx([0.575, 0.7, 0.9])
    assert found.accuracy.tolist() == [1.0, 0.0, 1.0]
    assert expected_calibration_error([0, 0, 1, 0, 1, 0], P, bins=3) == pytest.approx((0.425 + 0.7 + 0.1) / 3)


def test_rows_of_one_confidence_are_never_parted():
    P = [[0.8, 0.2]] * 10
    y = [0] * 8 + [1] * 2
    assert calibration_bins(y, P).rows.tolist() == [10]
    assert expected_calibration_error(y, P) == pytest.approx(0)
    assert expected_calibration_error(y[::-1], P) == pytest.approx(0)
    assert expected_calibration_error([1], [[0.8, 0.2]]) == pytest.approx(0.8)


def test_an_honest_model_of_many_rows_has_next_to_no_calibration_error():
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, 20_000)
    y = (rng.random(20_000) > confidence).astype(int)
    P = np.stack([confidence, 1 - confidence], axis=1)
    assert expected_calibration_error(y, P) < 0.015
    boastful = np.stack([confidence**0.5, 1 - confidence**0.5], axis=1)
    assert expected_calibration_error(y, boastful) == pytest.approx((confidence**0.5 - confidence).mean(), abs=0.01)


def test_brier_is_the_squared_distance_to_the_truth():
    assert brier_score([0, 1], [[0.8, 0.2], [0.6, 0.4]]) == pytest.approx((0.08 + 0.72) / 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: accuracy([0, 1], [0]),
        lambda: accuracy([], []),
        lambda: confusion([0, 3], [0, 1], 3),
        lambda: confusion([0, -1], [0, 1], 3),
        lambda: log_loss([2], [[0.5, 0.5]]),
        lambda: log_loss([0, 1], [[0.5, 0.5]]),
        lambda: brier_score([], np.zeros((0, 2))),
        lambda: calibration_bins([0], [[0.5, 0.5]], bins=0),
        lambda: expected_calibration_error([2], [[0.5, 0.5]]),
    ],
)
def test_what_cannot_be_measured_is_refused(call):
    with pytest.raises(BadInput):
        call()
