"""What was found in texts that were read before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.students import network_class
from models.students.hashed import HashedTexts
from models.text_memo import TextMemo


class Reader:
    """Reads a text to its length, and tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, texts: list[str]) -> list[NDArray[np.int64]]:
        self.asked += texts
        return [np.array([len(text)]) for text in texts]


def test_a_text_is_read_once_and_given_as_often_as_it_is_asked_for() -> None:
    memo, read = TextMemo(1 << 20), Reader()
    assert [a.item() for a in memo.look_up(["b", "aa", "b"], read)] == [1, 2, 1]
    assert read.asked == ["b", "aa"]
    assert [a.item() for a in memo.look_up(["ccc", "aa", "\ud800"], read)] == [3, 2, 1]
    assert read.asked == ["b", "aa", "ccc", "\ud800"]
    assert memo.look_up([], read) == []


def test_what_another_reader_made_is_not_taken_for_its_own() -> None:
    memo, read = TextMemo(1 << 20), Reader()
    memo.look_up(["a"], read, "one")
    memo.look_up(["a"], read, "other")
    assert read.asked == ["a", "a"]


def test_it_keeps_no_more_than_it_may_and_what_came_first_goes_first() -> None:
    memo, read = TextMemo(2 * 262), Reader()
    assert [a.item() for a in memo.look_up(["a", "bb", "ccc"], read)] == [1, 2, 3]
    assert len(memo) == 2
    memo.look_up(["bb", "ccc"], read)
    assert read.asked == ["a", "bb", "ccc"]
    memo.look_up(["a"], read)
    assert read.asked[3:] == ["a"]
    assert len(TextMemo(0).look_up(["a"], read)) == 1


def test_two_tables_and_two_vocabularies_read_the_same_text_differently() -> None:
    texts = ["alpha beta gamma", "beta", ""]
    kinds = network_class("hashed"), network_class("static")
    small, large = (kinds[0].restore(hashed(rows)) for rows in (64, 1024))
    for network in (small, large, small):
        ids = prepared(network, texts)
        assert len(ids) == 6  # three words, two pairs; one word; nothing
        assert ids.max() < network.table.num_embeddings  # type: ignore[union-attr]
    assert prepared(small, texts).tolist() != prepared(large, texts).tolist()

    import torch

    first, second = (kinds[1].create(words, 2, torch.Generator()) for words in (["alpha beta"], ["beta gamma"]))
    assert prepared(first, texts).tolist() == [1, 2, 2]
    assert prepared(second, texts).tolist() == [1, 2, 1]
    assert prepared(kinds[1].restore(first.arrays()), texts).tolist() == [1, 2, 2]


def prepared(network: object, texts: list[str]) -> NDArray[np.int64]:
    found = network.prepare(texts)  # type: ignore[attr-defined]
    assert isinstance(found, HashedTexts)
    assert found.ids.dtype == np.int64
    assert found.starts.tolist() == (np.cumsum(found.counts) - found.counts).tolist()
    return found.ids


def hashed(rows: int) -> dict[str, NDArray[np.float32]]:
    return {
        "table": np.zeros((rows, 4), np.float32),
        "head.weight": np.zeros((2, 4), np.float32),
        "head.bias": np.zeros(2, np.float32),
        "scale": np.ones(1, np.float32),
    }
