"""Word pieces of texts by a tokenizer.json, as a transformer student reads them; needs numpy and tokenizers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

LONGEST_TOKENIZER = 32 * 2**20
"""Bytes of a tokenizer.json: thirty times what the largest vocabulary of a student takes."""
_PIECED_WORDS, _PIECED_LETTERS = 200_000, 48  # so many words are remembered, none of them longer
_LETTERS_A_PIECE = 128  # no piece is longer, so what lies beyond that many letters a piece is cut in any case


class PieceError(ValueError):
    """The tokenizer cannot be used; the message says why."""


class WordPieces:
    """Splits texts into word pieces, a few microseconds each: most words of a text were seen before.

    A BERT tokenizer never joins what a space parts, so the pieces of a text are those of its words. Safe to share
    between threads, and starts none.
    """

    def __init__(self, tokenizer: str, *, rows: int, start: int, end: int, most: int):
        """Reads the tokenizer.

        Args:
            tokenizer: The text of a tokenizer.json (BERT's normaliser and splitter over WordPiece).
            rows: Size of the model's table: no id may be beyond it.
            start: Id that each text begins with.
            end: Id that each text ends with.
            most: Ids of one text, these two included; what is longer is cut.

        Raises:
            PieceError: The tokenizers package is missing, or the tokenizer is not one that this can read.
        """
        try:
            from tokenizers import Tokenizer
        except ImportError as missing:
            raise PieceError("This bundle needs the package tokenizers: pip install -r requirements.txt") from missing
        if len(tokenizer) > LONGEST_TOKENIZER:
            raise PieceError(f"tokenizer.json has {len(tokenizer):,} characters, more than any student's.")
        try:
            self._tokenizer: Any = Tokenizer.from_str(tokenizer)
        except Exception as error:  # tokenizers raises nothing more precise
            raise PieceError(f"tokenizer.json cannot be read: {error}") from error
        ids = self._tokenizer.get_vocab(with_added_tokens=True).values()
        if not ids or max(ids) >= rows or not (0 <= start < rows and 0 <= end < rows and most >= 3):
            raise PieceError(f"tokenizer.json does not fit the model, which knows {rows} pieces.")
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start, self._end, self._most = start, end, most
        self._known: dict[str, list[int]] = {}

    def __call__(
        self, texts: Sequence[str]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The ids of texts.

        Returns:
            ``ids`` int64 (t,), text after text; ``counts`` int64 (n,), how many each text has, two at least; ``cut``
            bool (n,), whether it had more than fit.
        """
        rows, cut = [], np.zeros(len(texts), bool)
        for place, text in enumerate(texts):
            row, cut[place] = self._row(text)
            rows.append(row)
        counts = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter((piece for row in rows for piece in row), np.int64, int(counts.sum()))
        return ids, counts, cut

    def _row(self, text: str) -> tuple[list[int], bool]:
        limit = self._most - 2
        longest = self._most * _LETTERS_A_PIECE
        known = self._known
        found: list[int] = [self._start]
        for word in text[:longest].split(" "):
            pieces = known.get(word)
            found += self._split(word) if pieces is None else pieces
            if len(found) > limit + 1:
                del found[limit + 1 :]
                found.append(self._end)
                return found, True
        found.append(self._end)
        return found, len(text) > longest

    def _split(self, word: str) -> list[int]:
        # A lone surrogate is a string in Python, but no text anywhere else.
        clean = word.encode("utf-8", "replace").decode()
        pieces: list[int] = self._tokenizer.encode(clean, add_special_tokens=False).ids
        if len(word) <= _PIECED_LETTERS:
            if len(self._known) >= _PIECED_WORDS:
                self._known = {}
            self._known[word] = pieces
        return pieces
