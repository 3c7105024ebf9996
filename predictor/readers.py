"""How raw items become the input of a graph, for each kind of graph; each runs it over batches that suit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predictor.errors import ItemError
from predictor.images import decode_image, normalise
from predictor.items import Item
from predictor.words import hash_text, hash_texts, pad

FloatArray = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[Any]], FloatArray]
"""A graph: a batch in, probabilities (b, classes) out."""

_CELLS = 32_768  # token cells of one run of a text model: what fits a core's second-level cache
_IMAGES = 256  # images of one run
_WORDS_AT_ONCE = 16_384  # about how many words one run of a graph that reads texts splits side by side


class Reader(Protocol):
    """Probabilities of a stretch of items."""

    def __call__(self, items: Sequence[Any], first: int, out: FloatArray) -> None:
        """Fill ``out`` (n, classes); ``first`` is the number of the first item, for errors."""


class TextReader:
    """For graphs that read texts as they are: strings (b,) in, everything else is inside."""

    def __init__(self, run: Run):
        self._run = run

    def __call__(self, items: Sequence[Item], first: int, out: FloatArray) -> None:
        """Texts of like length run together: a graph fills shorter ones up to the longest."""
        texts = [text if text.isascii() else _encodable(text) for text in checked_texts(items, first)]
        if len(texts) == 1:
            out[:] = self._run(np.array(texts, object))
            return
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        array = np.empty(len(texts), object)
        array[:] = texts
        order = np.argsort(lengths, kind="stable")
        words = lengths[order] // 5 + 1
        begin = 0
        while begin < len(order):
            limit = max(1, _WORDS_AT_ONCE // int(words[begin]))
            end = begin + max(1, int(np.searchsorted(words[begin : begin + limit], 1.5 * words[begin] + 2, "right")))
            out[order[begin:end]] = self._run(array[order[begin:end]])
            begin = end


class HashedReader:
    """For graphs that read rows of a hashed table, ids (b, longest) filled up with row 0."""

    def __init__(self, run: Run, preprocess: Mapping[str, Any]):
        self._run, self._rows = run, int(preprocess["rows"])

    def __call__(self, items: Sequence[Item], first: int, out: FloatArray) -> None:
        """Texts of like length run together: little padding, and as many at once as the cache holds."""
        texts = checked_texts(items, first)
        if len(texts) == 1:
            single = hash_text(texts[0], self._rows)
            out[:] = self._run(single[None] if len(single) else np.zeros((1, 1), np.int64))
            return
        ids, counts = hash_texts(texts, self._rows)
        starts = np.cumsum(counts) - counts
        order = np.argsort(counts, kind="stable")
        begin = 0
        lengths = np.maximum(counts[order], 1)
        while begin < len(order):
            limit = max(1, _CELLS // int(lengths[begin]))
            end = begin + max(
                1, int(np.searchsorted(lengths[begin : begin + limit], 1.25 * lengths[begin] + 2, "right"))
            )
            rows = order[begin:end]
            out[rows] = self._run(pad(ids, starts[rows], counts[rows]))
            begin = end


class ImageReader:
    """For graphs that read pixels (b, channels, height, width) in standard units."""

    def __init__(self, run: Run, preprocess: Mapping[str, Any]):
        self._run = run
        self._mode = str(preprocess["mode"])
        self._size = (int(preprocess["size"][0]), int(preprocess["size"][1]))
        self._mean, self._std = preprocess["mean"], preprocess["std"]

    def __call__(self, items: Sequence[Item], first: int, out: FloatArray) -> None:
        """As many images at once as memory should hold."""
        for begin in range(0, len(items), _IMAGES):
            pixels = []
            for index, item in enumerate(items[begin : begin + _IMAGES], first + begin):
                if not isinstance(item, bytes):
                    raise ItemError(index, f"this bundle reads encoded images (bytes), not {type(item).__name__}")
                try:
                    pixels.append(decode_image(item, mode=self._mode, size=self._size))
                except ValueError as error:
                    raise ItemError(index, str(error)) from error
            out[begin : begin + len(pixels)] = self._run(normalise(np.stack(pixels), self._mean, self._std))


class VectorReader:
    """For graphs that read feature vectors (b, d)."""

    def __init__(self, run: Run, dim: int):
        self._run, self._dim = run, dim

    def __call__(self, items: Sequence[Item], first: int, out: FloatArray) -> None:
        """All at once."""
        dim = self._dim
        vectors = np.empty((len(items), dim), np.float32)
        for index, item in enumerate(items):
            try:
                vector = np.asarray(item, np.float32)
            except (TypeError, ValueError) as error:
                raise ItemError(first + index, "this bundle reads lists of numbers") from error
            if vector.shape != (dim,):
                raise ItemError(first + index, f"{dim} numbers are needed, got an array of shape {vector.shape}")
            if not np.isfinite(vector).all():
                raise ItemError(first + index, "NaN or infinity among the features")
            vectors[index] = vector
        out[:] = self._run(vectors)


def _encodable(text: str) -> str:
    """The text with what no encoding knows (half of a pair of surrogates) replaced."""
    return text.encode("utf-8", "replace").decode()


def checked_texts(items: Sequence[Any], first: int) -> Sequence[str]:
    """The items where all are texts; raises ItemError for the first that is none."""
    for index, item in enumerate(items):
        if not isinstance(item, str):
            raise ItemError(first + index, f"this bundle reads texts, not {type(item).__name__}")
    return items
