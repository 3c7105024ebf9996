"""How a text becomes words, and words rows of a table."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.hashing import hash_text, hash_texts, pad
from predictor.words import fold, word_forms, words


def decoded(text: str) -> list[str]:
    return [word.decode("utf-8", "surrogatepass") for word in words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World! 42", ["hello", "world", "42"]),
        ("don't", ["don", "t"]),
        ("snake_case", ["snake", "case"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("İSTANBUL İstanbul istanbul", ["istanbul", "istanbul", "istanbul"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σίσυφοσ", "σίσυφοσ"]),
        ("e\u0301te\u0301 été", ["été", "été"]),
        ("我爱北京", ["我", "爱", "北", "京"]),
        ("東京タワー2階", ["東", "京", "タ", "ワ", "ー", "2", "階"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("हिन्दी", ["हिन्दी"]),
        ("good😀👍", ["good", "😀", "👍"]),
        ("ﬁne", ["fine"]),
        ("", []),
        (" \t\n!?", []),
    ],
)
def test_a_text_is_parted_into_folded_words(text, expected):
    assert decoded(text) == expected


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_texts_give_the_same_words_on_the_fast_way_as_beside_other_letters(text):
    assert words(text + " é") == [*words(text), "é".encode()]


@given(st.lists(st.text(), max_size=5))
def test_the_rows_of_a_text_do_not_depend_on_its_neighbours(texts):
    ids, counts = hash_texts(texts, 1000)
    alone = [hash_texts([text], 1000)[0] for text in texts]
    assert counts.tolist() == [len(row) for row in alone]
    assert ids.tolist() == [value for row in alone for value in row.tolist()]


@pytest.mark.parametrize("text", ["", "?", "one", "two words", "three words 我爱", "again " * 50])
def test_one_text_by_itself_lands_in_the_same_rows_as_among_others(text):
    expected, counts = hash_texts(["before it", text, "after"], 5000)
    start = int(counts[0])
    assert hash_text(text, 5000).tolist() == expected[start : start + int(counts[1])].tolist()


@given(st.text())
def test_the_way_of_one_text_and_the_way_of_many_agree(text):
    ids = hash_text(text, 1_000_003)
    assert ids.dtype == np.int64
    assert ids.tolist() == hash_texts([text], 1_000_003)[0].tolist()


def test_lone_surrogates_are_words_like_others():
    assert hash_texts(["a \ud800b"], 100)[1].tolist() == [len(words("a \ud800b")) * 2 - 1]


def test_words_come_first_and_then_the_pairs_of_neighbours():
    ids, counts = hash_texts(["red green blue", "green blue"], 1_000_003)
    assert counts.tolist() == [5, 3]
    assert ids[1] == ids[5]
    assert ids[2] == ids[6]
    assert ids[4] == ids[7]
    assert len(set(ids[:5].tolist())) == 5


def test_pairs_know_their_order():
    assert hash_texts(["a b"], 1_000_003)[0][2] != hash_texts(["b a"], 1_000_003)[0][2]


def test_the_hash_never_changes_between_versions():
    # A saved student is worthless once its words land in other rows.
    assert hash_texts(["card arrival"], 65_536)[0].tolist() == RECORDED


RECORDED = [24696, 28308, 16177]


def test_row_zero_is_left_to_padding_and_all_rows_are_inside_the_table():
    ids, _ = hash_texts([" ".join(f"w{i}" for i in range(5000))], 16)
    assert ids.min() == 1
    assert ids.max() == 15
    assert np.bincount(ids, minlength=16)[1:].std() < 60


def test_padding_fills_up_with_row_zero():
    ids, counts = np.array([5, 6, 7], np.int64), np.array([2, 0, 1], np.int64)
    assert pad(ids, np.cumsum(counts) - counts, counts).tolist() == [[5, 6], [0, 0], [7, 0]]
    assert pad(ids[:0], np.zeros(1, np.int64), np.zeros(1, np.int64)).tolist() == [[0]]


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("Don't PANIC", ["don", "t", "panic"]),
        ("STRAßE Köln", ["straße", "köln"]),
        ("ÜBER", ["Über"]),
        ("İSTANBUL", ["İstanbul"]),
        ("我爱Beijing", ["我", "爱", "beijing"]),
        ("①② x①", ["①", "②", "x", "①"]),
        ("snake_case e\u0301", ["snake", "case", "e\u0301"]),
    ],
)
def test_forms_are_words_as_they_stand_but_for_small_latin_letters(text, forms):
    assert word_forms(text) == forms


@given(st.text())
def test_forms_fold_to_the_words_that_are_hashed_where_nothing_is_composed(text):
    plain = fold(text)
    assert [form.encode("utf-8", "surrogatepass") for form in word_forms(plain)] == words(plain) or not plain.isascii()
