import numpy as np
import pytest

from models.encoder_hashed import SVD_MIN, HashedEncoder
from models.ngrams import N_BUCKETS, count_ngrams

TOPICS = {
    0: "the striker scored a late goal and the team won the cup final match",
    1: "shares fell as the bank cut its profit forecast for the quarter market",
}


def topical(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    return [" ".join(rng.choice(TOPICS[int(c)].split(), size=8)) for c in y], y


def encoder(n):
    made = HashedEncoder()
    made.fit(topical(n)[0], np.random.default_rng(0))
    return made


@pytest.mark.parametrize("n", [20, SVD_MIN])
def test_texts_of_one_topic_lie_closer_than_texts_of_two(n):
    texts, y = topical(60, seed=1)
    X = encoder(n).encode(texts).features
    similarity = X @ X.T
    assert similarity[y[:, None] == y].mean() > similarity[y[:, None] != y].mean() + 0.2
    assert np.linalg.norm(X, axis=1) == pytest.approx(np.ones(60), abs=1e-5)


def test_a_large_pool_is_decomposed_and_a_tiny_one_projected():
    assert set(encoder(SVD_MIN).state()) == {"buckets", "idf", "components"}
    assert set(encoder(SVD_MIN - 1).state()) == {"seed"}


def test_a_pool_of_one_text_over_and_over_is_projected_too():
    made = HashedEncoder()
    made.fit(["same words here"] * 1000, np.random.default_rng(0))
    assert set(made.state()) == {"seed"}


def test_any_language_is_told_apart():
    texts = [
        "東京都の天気は晴れ",
        "東京都の天気は雨",
        "銀行の口座を開く",
        "Ödön ős-Őrült íz",
        "ödön ŐS-őrült ÍZ",
        "สวัสดีครับ",
        "🙂🙂🙂",
    ]
    X = encoder(20).encode(texts).features
    assert X.any(axis=1).all()
    assert X[0] @ X[1] > X[0] @ X[2] + 0.2
    assert X[3] @ X[4] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("text", ["", " \n\t ", "\u200b"])
def test_texts_with_next_to_nothing_in_them_are_no_failure(text):
    encoded = encoder(20).encode([text, "goal"])
    assert encoded.n_failed == 0
    assert np.isfinite(encoded.features).all()


def test_an_unpaired_surrogate_is_read_like_any_character():
    assert encoder(20).encode(["half \ud83d of one"]).features.any()


def test_counts_are_those_of_words_pairs_and_three_to_five_characters():
    counts = count_ngrams(["ab cd"]).toarray().ravel()
    words, characters = counts[: N_BUCKETS // 2], counts[N_BUCKETS // 2 :]
    assert words.sum() == 3  # ab, cd, and the two of them
    assert characters.sum() == 5 + 4 + 3  # of the seven characters of " ab cd "


def test_no_ngram_runs_from_one_text_into_the_next():
    both = count_ngrams(["ab cd", "ef gh"])
    assert (both[0] != count_ngrams(["ab cd"])[0]).nnz == 0
    assert (both[1] != count_ngrams(["ef gh"])[0]).nnz == 0


def test_hashing_is_the_same_in_every_process():
    assert count_ngrams(["hello"]).indices.sum() == 2170097
