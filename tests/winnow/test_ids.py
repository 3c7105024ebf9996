"""Identifiers at the edge."""

from __future__ import annotations

import pytest

from winnow.errors import NotFound
from winnow.ids import parse_id


def test_an_id_is_a_positive_decimal() -> None:
    assert [parse_id(value) for value in ("1", "42", str(2**63 - 1))] == [1, 42, 2**63 - 1]


@pytest.mark.parametrize("value", ["", "0", "01", "-1", "+1", "1.0", " 1", "x", "١", "1_0", str(2**63), "9" * 5000])
def test_nothing_bears_any_other_id(value: str) -> None:
    with pytest.raises(NotFound, match="no item"):
        parse_id(value, "item")
