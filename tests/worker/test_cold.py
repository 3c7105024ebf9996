"""When a warm student may have parted from its teacher, and when a cold one beside it is better."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.worker.test_round import RECIPE, make_data
from worker.cold import judge, parted, retrain
from worker.evidence import Comparison
from worker.round import run_round
from worker.round_data import PreviousRound

METRICS = {"cold": False, "agreement": 0.95, "agreement_rows": 400, "labels": 110}
CARRY = {"cold_agreement": 0.95}


def test_a_warm_student_parts_when_it_lags_by_more_than_a_standard_error() -> None:
    assert parted(METRICS, CARRY) is None
    assert parted({**METRICS, "agreement": 0.94}, CARRY) is None, "its standard error is .016"
    why = parted({**METRICS, "agreement": 0.93}, CARRY)
    assert why is not None
    assert "on 93.0%, the last student that started afresh on 95.0% (standard error 1.7%)" in why


def test_labels_that_grew_are_no_sign_of_it() -> None:
    assert parted({**METRICS, "labels": 200}, CARRY) is None


@pytest.mark.parametrize("tried_at", [101, 140])
def test_what_was_tried_is_not_tried_again_at_once(tried_at: int) -> None:
    lagging = {**METRICS, "agreement": 0.9, "labels": 115}
    assert parted(lagging, CARRY, tried_at=100) is not None
    assert parted(lagging, CARRY, tried_at=tried_at) is None


@pytest.mark.parametrize(
    "changed", [{"cold": True}, {"distillation": {"kept": True}}, {"cold": None}], ids=["cold", "kept", "none"]
)
def test_only_warm_students_part(changed: dict[str, Any]) -> None:
    assert parted({**METRICS, "agreement": 0.5, "labels": 200, **changed}, CARRY) is None


def compared(won: int, lost: int, n: int = 100, *, losses: tuple[float, float] = (1.0, 1.0)) -> Comparison:
    """On so many of ``n`` rows only the cold student agrees with the teacher, or only the warm one."""
    new, old = np.ones(n, bool), np.ones(n, bool)
    old[:won] = False
    new[won : won + lost] = False
    spread = np.linspace(-0.1, 0.1, 40)
    return Comparison(new_agrees=new, old_agrees=old, new_losses=losses[0] + spread, old_losses=losses[1] - spread)


def test_a_cold_student_is_better_when_it_gains_somewhere_and_loses_nowhere() -> None:
    verdict = judge(compared(10, 2))
    assert verdict.better
    assert verdict.gains["agreement"] == {"mean": 0.08, "error": 0.033874, "rows": 100}
    assert verdict.gains["exploration"] == {"mean": 0.0, "error": 0.018958, "rows": 40}
    assert verdict.why.startswith("better than the warm one (agreement +0.080 ± 0.034, exploration ")
    assert not judge(compared(3, 2)).better, "within a standard error"
    assert not judge(compared(2, 10)).better
    assert not judge(compared(10, 2, losses=(1.1, 1.0))).better, "its log-loss is higher"
    assert judge(compared(3, 2, losses=(0.9, 1.0))).better


def test_what_cannot_be_compared_is_not_better() -> None:
    assert not judge(None).better
    few = Comparison(new_agrees=np.ones(29, bool), old_agrees=np.zeros(29, bool))
    assert not judge(few).better, "29 rows are too few"
    assert judge(Comparison()).why == "not better than the warm one (not measured)"


def test_it_is_held_beside_the_warm_one_on_the_same_rows() -> None:
    data = make_data()
    first = run_round(data, RECIPE, None, np.random.default_rng(RECIPE.seed))
    assert first.student is not None
    arrays = first.student.arrays()
    warm = PreviousRound(
        student=arrays, student_family=first.student.family, class_names=data.class_names, family_labels=7
    )
    same = retrain(data, RECIPE, warm, first.teacher_arrays(), first.metrics, lambda: None)
    assert not same.verdict.better
    assert same.result.metrics["cold"]
    rng = np.random.default_rng(0)
    dealt = {name: rng.permuted(array.ravel()).reshape(array.shape) for name, array in arrays.items()}
    parted_one = replace(warm, student=dealt)
    found = retrain(data, RECIPE, parted_one, first.teacher_arrays(), first.metrics, lambda: None)
    assert found.verdict.better
    assert found.result.promoted
    assert found.verdict.gains["agreement"]["mean"] > 0.2
    assert found.result.carry == {
        "rounds_since_cold": 0,
        "cold_agreement": found.result.metrics["agreement"],
        "cold_labels": len(np.unique(data.labeled_rows)),
        "family_labels": 7,
        "trained_labels": len(np.unique(data.labeled_rows)),
    }
    lesson = found.result.lesson() if found.result.lesson else None
    assert lesson is not None
    assert lesson.start_sha256 is None
    again = retrain(data, RECIPE, parted_one, first.teacher_arrays(), first.metrics, lambda: None)
    assert again.result.student is not None
    assert found.result.student is not None
    for name, array in found.result.student.arrays().items():
        np.testing.assert_array_equal(again.result.student.arrays()[name], array)
