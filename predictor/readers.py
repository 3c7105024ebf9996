"""How raw items become the input of a graph, for each kind of graph; each runs it over batches that suit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predictor.errors import BundleError, ItemError
from predictor.hashing import hash_text, hash_texts, pad
from predictor.images import decode_image, normalise
from predictor.items import Item
from predictor.pieces import WordPieces
from predictor.settings_check import check_pixels, check_rows
from predictor.words import word_forms

FloatArray = npt.NDArray[np.float32]
Run = Callable[[npt.NDArray[Any]], FloatArray]
"""A graph: a batch in, probabilities (b, classes) out."""

_CELLS = 32_768  # token cells of one run of a text model: what fits a core's second-level cache
_PIECES = 1_024  # the same of a transformer, whose layers are wider
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


class PaddedReader:
    """For graphs that read rows of a table, ids (b, longest) filled up with row 0; parted into texts of like length."""

    cells = _CELLS

    def __init__(self, run: Run):
        self._run = run

    def _look_up(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of the table, text after text, (t,), and how many each text has, (n,)."""
        raise NotImplementedError

    def __call__(self, items: Sequence[Item], first: int, out: FloatArray) -> None:
        """Texts of like length run together: little padding, and as many at once as the cache holds."""
        texts = checked_texts(items, first)
        ids, counts = self._look_up(texts)
        if len(texts) == 1:
            out[:] = self._run(ids[None] if len(ids) else np.zeros((1, 1), np.int64))
            return
        starts = np.cumsum(counts) - counts
        order = np.argsort(counts, kind="stable")
        begin = 0
        lengths = np.maximum(counts[order], 1)
        while begin < len(order):
            limit = max(1, self.cells // int(lengths[begin]))
            end = begin + max(
                1, int(np.searchsorted(lengths[begin : begin + limit], 1.25 * lengths[begin] + 2, "right"))
            )
            rows = order[begin:end]
            out[rows] = self._run(pad(ids, starts[rows], counts[rows]))
            begin = end


class HashedReader(PaddedReader):
    """For graphs that read rows of a hashed table."""

    def __init__(self, run: Run, preprocess: Mapping[str, Any]):
        super().__init__(run)
        self._rows = check_rows(preprocess)

    def _look_up(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        if len(texts) > 1:
            return hash_texts(texts, self._rows)
        ids = hash_text(texts[0], self._rows) if len(texts) else np.zeros(0, np.int64)
        return ids, np.full(len(texts), len(ids), np.int64)


class WordsReader(PaddedReader):
    """For graphs that read the row of each word that has one."""

    def __init__(self, run: Run, words: Sequence[str]):
        super().__init__(run)
        self._rows = {form: row for row, line in enumerate(words, 1) for form in line.split(" ")}

    def _look_up(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        get = self._rows.get
        found = [[row for form in word_forms(text) if (row := get(form))] for text in texts]
        counts = np.fromiter(map(len, found), np.int64, len(found))
        return np.fromiter((row for rows in found for row in rows), np.int64, int(counts.sum())), counts


class PiecesReader(PaddedReader):
    """For transformers, which read word pieces by the tokenizer that lies beside them."""

    cells = _PIECES

    def __init__(self, run: Run, preprocess: Mapping[str, Any]):
        super().__init__(run)
        try:
            numbers = {name: int(preprocess[name]) for name in ("rows", "start", "end", "most")}
            self._pieces = WordPieces(str(preprocess["tokenizer"]), **numbers)
        except KeyError as error:
            raise BundleError(f"preprocess.json does not say {error}.") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise BundleError(str(error)) from error

    def _look_up(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return self._pieces(texts)[:2]


class ImageReader:
    """For graphs that read pixels (b, channels, height, width) in standard units."""

    def __init__(self, run: Run, preprocess: Mapping[str, Any]):
        self._run = run
        self._mode, self._size, self._mean, self._std = check_pixels(preprocess)

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
