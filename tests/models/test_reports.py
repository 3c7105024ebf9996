"""Reports say what was measured, leave out what was not, and find the students that no other one beats."""

import numpy as np
import pytest

from models.errors import BadInput
from models.evaluate import class_figures
from models.reports import build_pareto, build_report, calibration


def sure(y, n_classes, confidence):
    P = np.full((len(y), n_classes), (1 - confidence) / (n_classes - 1))
    P[np.arange(len(y)), y] = confidence
    return P


def test_precision_recall_and_f1_of_each_class():
    precision, recall, f1 = class_figures([0, 0, 0, 1, 2], [0, 0, 1, 1, 1], 4)
    assert precision[:2].tolist() == [1, 1 / 3]
    assert recall[:3].tolist() == [2 / 3, 1, 0]
    assert f1[:3].tolist() == [4 / 5, 1 / 2, 0]
    assert np.isnan([precision[2], precision[3], recall[3], f1[3]]).all()


def test_bins_of_calibration_say_what_lies_in_them():
    confidence = np.repeat([0.6, 0.8], [140, 160])
    y = np.concatenate([[0] * 70, [1] * 70, [0] * 160])
    found = calibration(y, np.stack([confidence, 1 - confidence], 1))
    assert [(b["low"], b["high"], b["labels"], b["accuracy"]) for b in found["bins"]] == [
        (0.6, 0.6, 140, 0.5),
        (0.8, 0.8, 160, 1.0),
    ]
    assert found["ece"] == pytest.approx((140 * 0.1 + 160 * 0.2) / 300)


def test_under_fifty_labels_nothing_is_measurable():
    report = build_report(["a", "b"], [0] * 49, sure([0] * 49, 2, 0.9))
    assert report["note"] == "not yet measurable: 49 measured labels, 50 are needed"
    assert [report[name] for name in ("accuracy", "brier", "confusion", "per_class", "calibration")] == [None] * 5


def test_a_class_has_figures_from_thirty_labels_on():
    y = np.array([0] * 30 + [1] * 29)
    guessed = y.copy()
    guessed[0] = 1
    report = build_report(["a", "b"], y, sure(guessed, 2, 0.9))
    assert report["per_class"] == [
        {"label": "a", "labels": 30, "precision": 1.0, "recall": 29 / 30, "f1": pytest.approx(58 / 59)},
        {"label": "b", "labels": 29, "precision": None, "recall": None, "f1": None},
    ]
    assert report["confusion"] == [[29, 1], [0, 29]]
    assert report["confused"] == [{"true": "a", "predicted": "b", "labels": 1}]
    assert report["brier"] == pytest.approx((58 * 2 * 0.1**2 + 2 * 0.9**2) / 59)


@pytest.mark.parametrize(("n", "ece"), [(199, None), (200, 0.1)])
def test_calibration_is_measured_from_two_hundred_labels_on(n, ece):
    y = np.arange(n) % 2
    report = build_report(["a", "b"], y, sure(y, 2, 0.9), measured_on="test")
    assert (report["calibration"] and report["calibration"]["ece"]) == (ece and pytest.approx(ece))
    assert (report["note"] is None) == (ece is not None)
    assert report["measured_on"] == "test"


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="2 labels and 3 classes"):
        build_report(["a", "b", "c"], [0, 1], [[0.5, 0.5], [0.5, 0.5]])


def student(version, value, p50_ms, size=10, watt_hours=1.0):
    accuracy = None if value is None else {"value": value}
    return {"version": version, "accuracy": accuracy, "p50_ms": p50_ms, "bytes": size, "watt_hours": watt_hours}


def test_the_front_holds_what_no_other_student_beats_in_everything():
    found = build_pareto(
        [
            student(1, 0.8, 0.1),
            student(2, 0.9, 0.2),
            student(3, 0.85, 0.3),  # worse and slower than 2
            student(4, 0.85, 0.3, size=5),  # but smaller
            student(5, 0.8, 0.1),  # as good as 1: neither beats the other
            student(6, None, 0.1),
            student(7, 0.9, None),
            student(8, 0.9, 0.2, watt_hours=None),  # as 2, at an unknown cost
        ]
    )
    assert {point["version"]: point["on_front"] for point in found["points"]} == {
        1: True, 2: True, 3: False, 4: True, 5: True, 8: False,
    }  # fmt: skip
    assert found["left_out"] == [6, 7]
    assert build_pareto([]) == {"points": [], "left_out": []}
