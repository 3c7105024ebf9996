"""Identifiers at the edge: strings outside, positive integers inside."""

from __future__ import annotations

from winnow.errors import NotFound

_LARGEST = 2**63 - 1
#: The largest number of a round, or version of a student: their columns have 32 bits.
LARGEST_NUMBER = 2**31 - 1


def parse_id(value: str, what: str = "object") -> int:
    """The integer behind an outside id such as ``"12"``.

    Raises:
        NotFound: ``value`` is not a positive decimal that fits 64 bits, so nothing can bear it.
    """
    if value.isascii() and value.isdecimal() and len(value) <= 19 and not value.startswith("0"):
        number = int(value)
        if number <= _LARGEST:
            return number
    raise NotFound(f"There is no {what} with this id.")
