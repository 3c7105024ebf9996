"""Hashed n-grams of texts in any language: words 1–2 and characters 3–5, counted into a fixed number of buckets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_BUCKETS = 1 << 18
"""The lower half counts words, the upper half characters."""

_HALF = N_BUCKETS // 2
# Languages written without spaces: each of their signs is a word, so that pairs of words are pairs of signs.
SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0e7f"
_WORD = re.compile(rf"[{SIGNS}]|[^\W{SIGNS}]+")
_SPACE = re.compile(r"\s+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

HashArray = NDArray[np.uint64]


def count_ngrams(texts: Sequence[str]) -> Any:
    """Counts of each text's n-grams by bucket, a CSR matrix (n, N_BUCKETS) of float32.

    Lower case, runs of white space as one space; the same on every machine and in every process.
    """
    from scipy.sparse import coo_matrix

    lowered = [_SPACE.sub(" ", text.lower()).strip() for text in texts]
    rows, buckets = [], []
    for hashes, owners, offset in (*_word_hashes(lowered), *_character_hashes(lowered)):
        rows.append(owners)
        buckets.append((mix(hashes) % np.uint64(_HALF)).astype(np.int64) + offset)
    row, bucket = np.concatenate(rows), np.concatenate(buckets)
    counts = coo_matrix((np.ones(len(row), dtype=np.float32), (row, bucket)), shape=(len(texts), N_BUCKETS)).tocsr()
    counts.sum_duplicates()
    return counts


def _word_hashes(texts: Sequence[str]) -> Iterable[tuple[HashArray, NDArray[np.int64], int]]:
    words: list[int] = []
    lengths = []
    for text in texts:
        found = [zlib.crc32(word.encode("utf-8", "replace")) for word in _WORD.findall(text)]
        words.extend(found)
        lengths.append(len(found))
    hashes, owners = np.array(words, dtype=np.uint64), np.repeat(np.arange(len(texts)), lengths)
    yield hashes, owners, 0
    inside = owners[1:] == owners[:-1]
    pairs = mix(hashes[:-1]) * np.uint64(31) + hashes[1:]
    yield pairs[inside], owners[:-1][inside], 0


def _character_hashes(texts: Sequence[str]) -> Iterable[tuple[HashArray, NDArray[np.int64], int]]:
    # A space on both sides tells the beginning and the end of a word from its middle.
    padded = [f" {text} " if text else "" for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    owners = np.repeat(np.arange(len(texts)), [len(text) for text in padded])
    hashes = codes
    for size in range(2, 6):
        hashes = mix(hashes[:-1]) + codes[size - 1 :] if len(codes) >= size else codes[:0]
        if size >= 3:
            starts = owners[: len(hashes)]
            inside = starts == owners[size - 1 :] if len(hashes) else starts == starts
            yield hashes[inside], starts[inside], _HALF


def mix(values: HashArray) -> HashArray:
    """Spread the bits of 64-bit integers, (n,), as a hash does; wraps around by design."""
    mixed = values * _MULTIPLIER
    return np.asarray((mixed ^ (mixed >> np.uint64(32))) * _MULTIPLIER >> np.uint64(13), dtype=np.uint64)
