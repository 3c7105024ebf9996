"""The name of a class as a text that an encoder can read."""

from __future__ import annotations

import re


def name_words(name: str, description: str = "") -> str:
    """A class's name as a text: words apart, its description behind it.

    >>> name_words("card_arrival"), name_words("topUpFailed", "A top-up did not work.")
    ('card arrival', 'top Up Failed. A top-up did not work.')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_/\\|.:-]+", " ", name))
    words = " ".join(apart.split()) or name
    return f"{words}. {description.strip()}" if description.strip() else words
