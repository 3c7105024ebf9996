"""The rules for names that people give: data that is kept as it is, within limits."""

from __future__ import annotations

import unicodedata

# Control characters, surrogates, and the line and paragraph separators: nothing that a single line can show.
_UNSHOWABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def check_name(value: str, limit: int = 200) -> str:
    """Give back ``value`` unchanged if it can be a name.

    Raises:
        ValueError: it is blank, longer than ``limit`` characters, or holds a control character.
    """
    if not value.strip():
        raise ValueError("must not be blank")
    if len(value) > limit:
        raise ValueError(f"must have at most {limit} characters")
    if any(unicodedata.category(character) in _UNSHOWABLE for character in value):
        raise ValueError("must not contain control characters or line breaks")
    return value


def check_text(value: str, limit: int) -> str:
    """Give back ``value`` unchanged if it can be a longer text: lines and tabs, but no other control character.

    Raises:
        ValueError: it is longer than ``limit`` characters, or holds a control character.
    """
    if len(value) > limit:
        raise ValueError(f"must have at most {limit} characters")
    if any(c not in "\n\r\t" and unicodedata.category(c) in ("Cc", "Cs") for c in value):
        raise ValueError("must not contain control characters other than line breaks and tabs")
    return value


def is_storable(value: str) -> bool:
    """Whether every database takes ``value``: PostgreSQL holds no U+0000, and half a surrogate pair is no text."""
    return "\0" not in value and all(unicodedata.category(character) != "Cs" for character in value)
