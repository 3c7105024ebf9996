"""The lexical member: what it reads, what it answers, and what it remembers."""

from __future__ import annotations

import numpy as np
import pytest

from models import lexical as lexical_module
from models.errors import BadInput, NotFitted
from models.lexical import BUCKETS, LexicalMember, NgramMemo
from models.regularisation import UNSEEN_PROBABILITY, deal_folds

WORDS = (("river", "water", "boat", "fish", "rain"), ("engine", "wheel", "road", "fuel", "brake"))


def made(
    n: int, seed: int, words: tuple[tuple[str, ...], ...] = WORDS, joined: str = " "
) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(words), n)
    return [joined.join(rng.choice(words[c], 3)) for c in y], y


def member(texts: list[str], rows: np.ndarray, y: np.ndarray, n_classes: int = 2, **more) -> LexicalMember:
    more = {"rng": np.random.default_rng(0), "memo": NgramMemo(), **more}
    return LexicalMember(lambda some: [texts[row] for row in some], rows, y, n_classes, **more)


TEXTS, Y = made(200, 0)
ROWS = np.arange(60)


def test_it_learns_words_and_answers_for_rows_that_it_has_not_read() -> None:
    lexical = member(TEXTS, ROWS, Y[:60])
    lexical.fit()
    P = lexical.predict_proba(np.arange(60, 200))
    assert (P.shape, P.dtype) == ((140, 2), np.float32)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-5)
    assert np.mean(P.argmax(axis=1) == Y[60:]) > 0.97
    np.testing.assert_array_equal(lexical.of_items(None, TEXTS[60:]), P)


def test_pieces_of_words_tell_what_whole_words_do_not() -> None:
    # Every word is new in each text; only how it begins says anything.
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 120)
    texts = [f"{('kabel', 'motor')[c]}{rng.integers(10_000, 99_999)}" for c in y]
    lexical = member(texts, np.arange(60), y[:60])
    lexical.fit()
    assert np.mean(lexical.predict_proba(np.arange(60, 120)).argmax(axis=1) == y[60:]) == 1.0


@pytest.mark.parametrize(
    "words",
    [
        (("河流", "雨水", "渔船", "湖泊"), ("引擎", "车轮", "公路", "燃料")),
        (("แม่น้ำ", "ฝนตก", "เรือ"), ("ล้อรถ", "ถนน", "น้ำมัน")),
        (("かわ", "あめ", "ふね"), ("くるま", "みち", "タイヤ")),
    ],
)
def test_languages_without_spaces_are_read(words: tuple[tuple[str, ...], ...]) -> None:
    texts, y = made(120, 2, words, joined="")
    lexical = member(texts, np.arange(60), y[:60])
    lexical.fit()
    assert np.mean(lexical.predict_proba(np.arange(60, 120)).argmax(axis=1) == y[60:]) > 0.95


def test_a_fold_is_answered_by_a_model_without_it() -> None:
    texts, y = made(60, 3)
    texts[7] = "zebra xylophone quartz"  # words that no other text has: only a model that saw it knows its class
    folds = deal_folds(y, None, np.random.default_rng(0))
    folds[:5] = -1
    P = member(texts, np.arange(60), y).cross_fitted(folds)
    assert np.isnan(P[:5]).all()
    assert np.mean(P[8:].argmax(axis=1) == y[8:]) > 0.95
    flipped = y.copy()
    flipped[7] = 1 - y[7]
    settings = member(texts, np.arange(60), y).settings
    there = member(texts, np.arange(60), y, settings=settings).cross_fitted(folds)
    others = member(texts, np.arange(60), flipped, settings=settings).cross_fitted(folds)
    np.testing.assert_array_equal(there[7], others[7])


def test_classes_without_labels_stay_at_the_floor() -> None:
    lexical = member(TEXTS, ROWS, Y[:60], 4)
    lexical.fit()
    P = lexical.predict_proba(np.arange(60, 90))
    np.testing.assert_allclose(P[:, 2:], UNSEEN_PROBABILITY, rtol=1e-3)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-5)


def test_up_to_the_landmarks_nothing_is_lost_by_the_space_that_is_learned_in() -> None:
    lexical = member(TEXTS, ROWS, Y[:60])
    space = lexical._learned_space()
    X = space.weighted(NgramMemo().counts(TEXTS[:60]))
    np.testing.assert_allclose(space.rows @ space.rows.T, (X @ X.T).toarray(), atol=1e-4)
    W = np.random.default_rng(0).normal(size=(2, space.rows.shape[1])).astype(np.float32)
    np.testing.assert_allclose(X @ space.columns(W), space.rows @ W.T, atol=1e-3)


def test_texts_of_nothing_but_unknown_signs_and_empty_ones_get_the_prior_and_not_an_error() -> None:
    texts = [*TEXTS, "", "!!! ???"]
    lexical = member(texts, ROWS, Y[:60])
    lexical.fit()
    P = lexical.predict_proba(np.array([200, 201]))
    assert np.isfinite(P).all()
    empty = member(["", " ", "", ""], np.arange(4), np.array([0, 1, 0, 1]))
    empty.fit()
    np.testing.assert_allclose(empty.predict_proba(np.arange(4)), 0.5, atol=1e-3)


def test_the_same_labels_give_the_same_answers_whatever_was_read_before() -> None:
    memo = NgramMemo()
    memo.counts(TEXTS[100:])
    first, second = member(TEXTS, ROWS, Y[:60]), member(TEXTS, ROWS, Y[:60], memo=memo)
    assert first.settings == second.settings
    for one in (first, second):
        one.fit()
    np.testing.assert_array_equal(first.predict_proba(np.arange(200)), second.predict_proba(np.arange(200)))


def test_the_memo_gives_what_it_was_given_and_holds_no_more_than_it_may() -> None:
    fresh = NgramMemo().counts(["a b a b", "water", "a b a b"])
    memo = NgramMemo()
    memo.counts(["water"])
    assert (memo.counts(["a b a b", "water", "a b a b"]) != fresh).nnz == 0
    assert fresh.shape == (3, 2 * BUCKETS)
    assert fresh[0, :BUCKETS].sum() == 7  # a, b, a, b and three pairs
    small = NgramMemo(most_bytes=1_000)
    small.counts(TEXTS)
    assert 0 < len(small) < 5


def test_pieces_are_those_of_words_with_a_space_on_either_side_however_long_the_word() -> None:
    counts = NgramMemo().counts(["ab", "abc", "Abc abc", "x" * 60])[:, BUCKETS:]
    assert counts.sum(axis=1).ravel().tolist() == [[1, 2, 4, 59]]  # " ab ", then " abc" and "abc "
    assert counts.sign().sum(axis=1).ravel().tolist() == [[1, 2, 2, 3]]


def test_what_a_text_without_spaces_is_cut_into_is_not_kept() -> None:
    before = lexical_module._kept_pieces.cache_info().currsize
    NgramMemo().counts(["\u4f60\u597d" * 100])
    assert lexical_module._kept_pieces.cache_info().currsize == before


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(NotFitted, match="not fitted yet"):
        member(TEXTS, ROWS, Y[:60]).predict_proba(ROWS)
    images = LexicalMember(lambda rows: [b"png"] * len(rows), ROWS, Y[:60], 2, rng=np.random.default_rng(0))
    with pytest.raises(BadInput, match="reads texts"):
        images.fit()
