"""The name of a class as a text that an encoder can read."""

from __future__ import annotations

import re

_PHRASINGS = ("{}", "This is about {}.", "A text on the subject of {}.", "The topic is {}.")


def name_phrases(name: str, description: str = "") -> list[str]:
    """Several phrasings of a class's name, for a teacher that averages what an encoder makes of them.

    >>> name_phrases("card_arrival")[1]
    'This is about card arrival.'
    """
    words, behind = name_words(name), description.strip()
    return [phrase.format(words) + (f" {behind}" if behind else "") for phrase in _PHRASINGS]


def name_words(name: str, description: str = "") -> str:
    """A class's name as a text: words apart, its description behind it.

    >>> name_words("card_arrival"), name_words("topUpFailed", "A top-up did not work.")
    ('card arrival', 'top Up Failed. A top-up did not work.')
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", re.sub(r"[_/\\|.:-]+", " ", name))
    words = " ".join(apart.split()) or name
    return f"{words}. {description.strip()}" if description.strip() else words
