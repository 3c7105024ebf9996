"""Text of people's own on pages that take Markdown."""

from __future__ import annotations

import re

#: Streamlit reads these even in text that was escaped: icons, arrows (``->``, ``>=``, ``--``) and bare addresses.
_READ_ANYWAY = re.compile(r"(?<=:)(?=material/)|(?<=[-<>=~!])(?=[-<>=])|(?<=http)(?=s?:)|(?<=www)(?=\.)", re.IGNORECASE)
_WORD_JOINER = "\u2060"  # takes no room


def escape(text: str) -> str:
    r"""Text that Markdown shows as it stands.

    >>> escape("*a* [b](c)")
    '\\*a\\* \\[b\\]\\(c\\)'
    """
    parted = _READ_ANYWAY.sub(_WORD_JOINER, text)
    return "".join(f"\\{mark}" if mark in r"\`*_{}[]()<>#+-.!|~:$&" else mark for mark in parted)
