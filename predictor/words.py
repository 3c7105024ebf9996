"""Words of texts."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

# A word is a run of letters, digits and combining marks, without regard to case; an emoji is one too. Scripts written
# without spaces give one word a character, so that the pairs of neighbours do there what words do elsewhere.

_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0dff\u1ab0-\u1aff"
)
_WORD = f"[{_UNSPACED}{_EMOJI}]|[^\\W_{_UNSPACED}](?:[^\\W_{_UNSPACED}]|[{_MARKS}])*"
WORD_EXPRESSION = "[{s}]|(?:[^\\P{{L}}{s}]|[^\\P{{N}}{s}])(?:[^\\P{{L}}{s}]|[^\\P{{N}}{s}]|[{m}])*".format(
    **{
        name: re.sub("[^-]", lambda c: f"\\x{{{ord(c[0]):x}}}", ranges)
        for name, ranges in (("s", _UNSPACED + _EMOJI), ("m", _MARKS))
    }
)
"""A word as it stands, for graphs that split texts by themselves; in the syntax of RE2. `word_forms` finds the same."""
_FORM = f"[{_UNSPACED}{_EMOJI}]|[^\\W_{_UNSPACED}{_EMOJI}](?:[^\\W_{_UNSPACED}{_EMOJI}]|[{_MARKS}])*"
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789"
_FOLD = bytes(c if (c := ord(chr(b).lower())) < 128 and c in _LETTERS else 32 for b in range(256))


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    """Only once a text needs it: these take longer to compile than a text of a to z to be answered."""
    return re.compile(expression)


def words(text: str) -> list[bytes]:
    """The words of a text, case folded, as UTF-8.

    >>> words("Don't PANIC, Straße!")
    [b'don', b't', b'panic', b'strasse']
    """
    if text.isascii():
        return text.encode().translate(_FOLD).split()
    return [word.encode("utf-8", "surrogatepass") for word in _compiled(_WORD).findall(fold(text))]


def word_forms(text: str) -> list[str]:
    """The words of a text as they stand, only A to Z made small: what a graph can do without a table of all letters.

    >>> word_forms("Don't PANIC, STRAßE! 你好")
    ['don', 't', 'panic', 'straße', '你', '好']
    """
    if text.isascii():
        return text.encode().translate(_FOLD).decode().split()
    return _compiled(_FORM).findall(text.translate(_LOWER))


def fold(form: str) -> str:
    """The word that a form is one of: without regard to case, and to how its letters are put together.

    >>> fold("STRASSE") == fold("Straße"), fold("İstanbul"), fold("e\u0301") == fold("é")
    (True, 'istanbul', True)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", form).casefold())
    return folded.replace("i\u0307", "i")  # what the Turkish İ folds to
