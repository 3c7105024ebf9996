"""The choice of a family: as near to the teacher as the nearest, the preferred one among equals, under a budget."""

from __future__ import annotations

import numpy as np
import pytest

from worker.student_choice import Candidate, choose_student


def candidate(family: str, right: int, mb: float = 1.0, ms: float = 0.1, of: int = 1_000) -> Candidate:
    agrees = np.zeros(of, bool)
    agrees[np.random.default_rng(0).permutation(of)[:right]] = True
    return Candidate(family, agrees, mb, ms)


def test_the_preferred_one_is_taken_where_another_is_better_by_less_than_a_standard_error() -> None:
    choice = choose_student([candidate("a", 900), candidate("b", 901)])
    assert choice.family == "a"
    assert choice.why == (
        "preferred, and with 90.0% of 1000 items as near to the teacher, within a standard error, as b (90.1%)"
    )


def test_a_clearly_nearer_one_is_taken() -> None:
    choice = choose_student([candidate("a", 900), candidate("b", 950)])
    assert choice.family == "b"
    assert choice.why == "it agrees with the teacher on 95.0% of 1000 items, more than the others"


@pytest.mark.parametrize(("limits", "chosen"), [({"most_mb": 2}, "a"), ({"most_ms": 0.2}, "a"), ({"most_mb": 9}, "b")])
def test_what_exceeds_the_budget_is_left_out(limits: dict[str, float], chosen: str) -> None:
    choice = choose_student([candidate("a", 900), candidate("b", 950, mb=5, ms=0.5)], **limits)
    assert choice.family == chosen
    if chosen == "a":
        assert choice.why == "the only one within the budget; b exceeds the budget"
    assert [row["within_budget"] for row in choice.candidates] == [True, chosen == "b"]


def test_where_none_keeps_within_the_budget_the_one_that_exceeds_it_least_is_taken_and_it_is_said() -> None:
    choice = choose_student([candidate("a", 900, mb=3), candidate("b", 950, mb=8)], most_mb=1, most_ms=1)
    assert choice.family == "a"
    assert choice.why == "none of a and b keeps within 1 MB and 1 ms; it exceeds that least"


def test_the_front_is_what_nothing_else_beats() -> None:
    near, light, poor = (
        candidate("near", 990, mb=5, ms=1),
        candidate("light", 900, mb=0.1),
        candidate("poor", 890, mb=2),
    )
    rows = choose_student([near, light, poor]).candidates
    assert [row["on_the_front"] for row in rows] == [True, True, False]
    assert rows[0] == {
        "family": "near",
        "agreement": 0.99,
        "mb": 5,
        "ms": 1,
        "within_budget": True,
        "on_the_front": True,
    }


def test_without_rows_to_compare_on_the_preferred_one_is_taken() -> None:
    assert choose_student([candidate("a", 0, of=0), candidate("b", 0, of=0)]).family == "a"
