"""Word pieces: the same as the tokenizer's own, whatever the text, and within bounds."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from predictor.pieces import PieceError, WordPieces
from tests.models.tiny_trunks import tokenizer_json, vocabulary

HOSTILE = [
    "",
    " ",
    "apple  banana",
    "Apple\tBANANA\nhammer",
    "orchards and bananas, very hammers!",
    "straße STRASSE café cafe\u0301 É",
    "水水 apple水banana",
    "[CLS] [PAD]apple[MASK]",
    "\u200bapple\x00\ufffd \ud800 x",
    "İstanbul ΟΔΟΣ ﬁn \u0301 \u00a0 a",
    "ß" * 60 + " " + "a" * 150,
]


def pieces(most=40, **changed):
    return WordPieces(tokenizer_json(**changed), rows=len(vocabulary()), start=3, end=4, most=most)


def rows(found):
    ids, counts, _ = found
    return [part.tolist() for part in np.split(ids, np.cumsum(counts)[:-1])]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_pieces_of_a_text_are_the_tokenizer_s_own_between_its_two_ends(text):
    whole = Tokenizer.from_str(tokenizer_json())
    clean = text.encode("utf-8", "replace").decode()
    expected = whole.encode(clean, add_special_tokens=False).ids[:198]
    split = pieces(most=200)
    for _ in range(2):  # the second time from memory
        assert rows(split([text])) == [[3, *expected, 4]]


def test_texts_lie_one_after_the_other():
    ids, counts, cut = pieces()(["apple", "", "apple banana"])
    known = vocabulary()
    assert ids.tolist() == [3, known["apple"], 4, 3, 4, 3, known["apple"], known["banana"], 4]
    assert counts.tolist() == [3, 2, 4]
    assert cut.tolist() == [False, False, False]


def test_a_long_text_is_cut_and_says_so():
    found = pieces(most=5)(["apple banana cherry", "apple banana cherry mango"])
    known = vocabulary()
    assert rows(found)[1] == [3, known["apple"], known["banana"], known["cherry"], 4]
    assert found[2].tolist() == [False, True]


def test_what_no_piece_could_reach_is_not_even_looked_at():
    [row] = rows(pieces(most=4)(["水" * 10_000_000]))
    assert row == [3, vocabulary()["水"], vocabulary()["水"], 4]
    ids, _, cut = pieces(most=4)([" " * 1_000 + "apple"])
    assert (ids.tolist(), cut.tolist()) == ([3, 4], [True])


@pytest.mark.parametrize(
    ("tokenizer", "numbers", "why"),
    [
        ("{", {}, "cannot be read"),
        ("[]", {}, "cannot be read"),
        (tokenizer_json(), {"rows": 10}, "does not fit the model, which knows 10 pieces"),
        (tokenizer_json(), {"start": -1}, "does not fit"),
        (tokenizer_json(), {"most": 2}, "does not fit"),
        (" " * (2**25 + 1), {}, "more than any student's"),
        (json.dumps({**json.loads(tokenizer_json()), "model": {"type": "Nonsense"}}), {}, "cannot be read"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused(tokenizer, numbers, why):
    given = {"rows": len(vocabulary()), "start": 3, "end": 4, "most": 40, **numbers}
    with pytest.raises(PieceError, match=why):
        WordPieces(tokenizer, **given)


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(PieceError, match=r"pip install -r requirements\.txt"):
        pieces()
