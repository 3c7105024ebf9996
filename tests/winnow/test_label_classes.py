"""Classes: completed and checked."""

from __future__ import annotations

from typing import Any

import pytest

from winnow.errors import Invalid
from winnow.label_classes import complete_classes


def test_the_first_nine_get_the_digits_in_order() -> None:
    classes = complete_classes([f"class {i}" for i in range(11)])
    assert [entry["hotkey"] for entry in classes] == [*"123456789", None, None]


def test_a_given_hotkey_is_kept_and_the_others_go_around_it() -> None:
    classes = complete_classes(["a", {"name": "b", "hotkey": "1"}, "c", {"name": "d", "hotkey": "Q"}])
    assert [entry["hotkey"] for entry in classes] == ["2", "1", "3", "q"]


def test_everything_given_is_kept() -> None:
    given = {"name": "a", "description": "an a", "hotkey": "x", "color": "#FF00aa"}
    assert complete_classes([given]) == [{**given, "color": "#ff00aa"}]


@pytest.mark.parametrize(
    ("given", "at"),
    [
        (["a", ""], 1),
        (["a", "a"], 1),
        (["a\tb"], 0),
        (["x" * 201], 0),
        ([{"name": "a", "hotkey": "1"}, {"name": "b", "hotkey": "1"}], 1),
        ([{"name": "a", "hotkey": " "}], 0),
        ([{"name": "a", "hotkey": ""}], 0),
        ([{"name": "a", "color": "blue"}], 0),
        ([{"name": "a", "description": "x" * 2001}], 0),
    ],
)
def test_a_class_at_fault_is_named(given: list[Any], at: int) -> None:
    with pytest.raises(Invalid) as raised:
        complete_classes(given)
    assert raised.value.errors[0].loc == ("body", "labels", at)


@pytest.mark.parametrize("given", [[], ["x"] * 1001])
def test_a_project_has_one_to_a_thousand_classes(given: list[str]) -> None:
    with pytest.raises(Invalid) as raised:
        complete_classes(given)
    assert raised.value.errors[0].loc == ("body", "labels")
