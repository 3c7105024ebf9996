"""The rows of a hashed table that words of texts and their pairs stand for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from predictor.words import words

_CACHED_WORDS = 400_000
_GOLDEN, _MIXER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_1, _29, _32 = np.uint64(1), np.uint64(29), np.uint64(32)


class _WordHashes(dict[bytes, int]):
    """Word → 64-bit hash, remembered: most words of a text were seen before."""

    def __missing__(self, word: bytes) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        value = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
        self[word] = value
        return value


_HASHES = _WordHashes()


def hash_texts(texts: Sequence[str], rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The table rows of each text's words and pairs of neighbouring words.

    Args:
        texts: n texts.
        rows: size of the table; row 0 is never used (it pads).

    Returns:
        ``ids`` int64 (t,), text after text, each with its words first and its pairs after them, all in 1..rows − 1;
        and ``counts`` int64 (n,), how many ids each text has (0 for a text without a word).
    """
    split = list(map(words, texts))
    n_words = np.fromiter(map(len, split), np.int64, len(split))
    total = int(n_words.sum())
    single = np.fromiter(map(_HASHES.__getitem__, chain.from_iterable(split)), np.uint64, total)
    starts = np.cumsum(n_words) - n_words
    # A pair for each word but the last of its text.
    has_next = np.ones(total, bool)
    has_next[(starts + n_words - 1)[n_words > 0]] = False
    left = np.flatnonzero(has_next)
    pair = _pairs(single[left], single[left + 1])
    n_pairs = np.maximum(n_words - 1, 0)
    counts = n_words + n_pairs
    out = np.cumsum(counts) - counts
    ids = np.empty(total + len(left), np.int64)
    ids[np.arange(total) + np.repeat(out - starts, n_words)] = _buckets(single, rows)
    pair_starts = np.cumsum(n_pairs) - n_pairs
    ids[np.arange(len(left)) + np.repeat(out + n_words - pair_starts, n_pairs)] = _buckets(pair, rows)
    return ids, counts


def hash_text(text: str, rows: int) -> npt.NDArray[np.int64]:
    """What `hash_texts` gives for one text, int64 (t,), without the bookkeeping of many."""
    single = np.fromiter(map(_HASHES.__getitem__, words(text)), np.uint64)
    return _buckets(np.concatenate((single, _pairs(single[:-1], single[1:]))), rows)


def _pairs(left: npt.NDArray[np.uint64], right: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """A hash of each two neighbours; the arithmetic is modulo 2**64."""
    pair = left * _GOLDEN
    pair += right
    pair ^= pair >> _29
    pair *= _MIXER
    return pair


def _buckets(hashes: npt.NDArray[np.uint64], rows: int) -> npt.NDArray[np.int64]:
    """Scale the upper 32 bits to 1..rows − 1: a multiplication, where a remainder would take five times as long."""
    scaled = hashes >> _32
    scaled *= np.uint64(rows - 1)
    scaled >>= _32
    scaled += _1
    return scaled.view(np.int64)


def pad(
    ids: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Lay the ids of some texts side by side: (b, longest), filled up with row 0."""
    width = max(1, int(counts.max(initial=0)))
    column = np.arange(width)
    inside = column < counts[:, None]
    padded = np.zeros((len(counts), width), np.int64)
    padded[inside] = ids[(starts[:, None] + column)[inside]]
    return padded
