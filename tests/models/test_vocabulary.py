"""A trimmed vocabulary splits what it was trimmed for as before, and everything else into pieces that it knows."""

import json

import pytest
from tokenizers import Tokenizer

from models.errors import BadInput
from models.vocabulary import END, PAD, SPECIAL, START, UNKNOWN, trim_vocabulary
from tests.models.tiny_trunks import LETTERS, tokenizer_json, vocabulary

TEXTS = ["orchards of bananas", "Hammer!"]


def split(tokenizer, text):
    return Tokenizer.from_str(tokenizer).encode(text).tokens


def test_the_texts_fall_into_the_same_pieces():
    trimmed = trim_vocabulary(tokenizer_json(), TEXTS, most=40)
    for text in TEXTS:
        assert split(trimmed.tokenizer, text) == ["[CLS]", *split(tokenizer_json(), text), "[SEP]"]


def test_its_ids_are_the_rows_of_the_table_that_is_kept():
    trimmed = trim_vocabulary(tokenizer_json(), TEXTS, most=40)
    before, after = vocabulary(), json.loads(trimmed.tokenizer)["model"]["vocab"]
    assert [before[name] for name in SPECIAL] == trimmed.rows[:4].tolist()
    assert [after[name] for name in SPECIAL] == [PAD, UNKNOWN, START, END]
    assert all(trimmed.rows[row] == before[piece] for piece, row in after.items())
    # Seen, single characters, and the four special ones; no other word.
    single = {piece for piece in before if len(piece.removeprefix("##")) == 1}
    assert set(after) == {"orchard", "##s", "of", "banana", "hammer", *single, *SPECIAL}
    assert set(LETTERS) <= set(after)


def test_a_word_that_was_never_seen_falls_into_shorter_pieces_and_not_into_nothing():
    trimmed = trim_vocabulary(tokenizer_json(), TEXTS, most=40).tokenizer
    assert split(trimmed, "bananass") == ["[CLS]", "banana", "##s", "##s", "[SEP]"]
    assert split(trimmed, "saw") == ["[CLS]", "s", "##a", "##w", "[SEP]"]
    assert split(trimmed, "☃") == ["[CLS]", "[UNK]", "[SEP]"]


def test_others_that_read_the_file_cut_where_the_student_does():
    trimmed = trim_vocabulary(tokenizer_json(), TEXTS, most=5).tokenizer
    assert len(Tokenizer.from_str(trimmed).encode("of of of of of").ids) == 5


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        (tokenizer_json(pre_tokenizer={"type": "ByteLevel"}), r"BertNormalizer \+ ByteLevel \+ WordPiece"),
        (tokenizer_json(normalizer=None), r"None \+ BertPreTokenizer"),
        (tokenizer_json(model={"type": "WordPiece", "vocab": {"[PAD]": 0, "[UNK]": 1}}), r"lacks \[CLS\], \[SEP\]"),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(tokenizer, why):
    with pytest.raises(BadInput, match=why):
        trim_vocabulary(tokenizer, TEXTS, most=40)
