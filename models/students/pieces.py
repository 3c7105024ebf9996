# ruff: noqa: D102 (Network says what each method does)
"""Texts: a vector for each word piece of the project → mean → normalised → one hidden layer → linear.

As `models.students.static`, but a rare word is read as its parts instead of being left out: compounds, inflected forms
and misspellings then say something. What splits texts is a tokenizer of BERT's kind, made from the project's texts; it
lies beside the graph.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase, digits
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from models.students.hashed import HashedTexts
from models.students.protocol import Arrays, IntArray, RawItem
from models.students.static import DIM, StaticNetwork, checked_texts, hidden_units
from predictor.pieces import WordPieces

MOST_WORDS, MOST_PARTS = 20_000, 4_000
MOST_PIECES = 1_024
"""Of one text; what lies beyond is cut, and counted."""
_PAD, _UNKNOWN = "[PAD]", "[UNK]"
_CONTINUED = "##"
_LEAST_TEXTS = 5  # that a word must be in to be read whole, in a pool of some size
_LEAST_WORDS = 5  # that a part must be in
_PART_LETTERS = range(2, 9)
_SMALL_POOL = 500
# Scripts written without spaces, as in `predictor.words`: a run of them would be one word, and an unknown one from a
# hundred letters on. BERT's normaliser parts Chinese signs by itself.
_UNSPACED = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Hiragana}\p{Katakana}]\p{M}*"


@dataclass(frozen=True)
class Pieces:
    """The pieces that have a vector.

    Attributes:
        tokenizer: The text of the tokenizer.json whose ids are their rows; row 0 pads.
        count: How many there are.
    """

    tokenizer: str
    count: int

    @classmethod
    def of(cls, texts: Iterable[str]) -> Pieces:
        """Frequent words, parts of many words, and each character."""
        from tokenizers import Tokenizer

        reader = Tokenizer.from_str(_tokenizer([_PAD, _UNKNOWN]))
        words: Counter[str] = Counter()
        n = 0
        for text in texts:
            n += 1
            clean = reader.normalizer.normalize_str(text.encode("utf-8", "replace").decode())
            words.update({word for word, _ in reader.pre_tokenizer.pre_tokenize_str(clean)})
        least = _LEAST_TEXTS if n >= _SMALL_POOL else 1
        # By frequency, then by name: the order of texts must not matter.
        ranked = sorted(words, key=lambda word: (-words[word], word))
        whole = [word for word in ranked if words[word] >= least][:MOST_WORDS]
        # One letter that is not known makes all of its word unknown.
        letters = sorted({letter for word in words for letter in word} | set(ascii_lowercase + digits))
        singles = [form for letter in letters for form in (letter, _CONTINUED + letter)]
        pieces = dict.fromkeys([_PAD, _UNKNOWN, *whole, *_parts(words), *singles])
        return cls(_tokenizer(list(pieces)), len(pieces) - 1)

    @cached_property
    def splitter(self) -> WordPieces:
        """Splits texts as the bundle does; a text begins and ends with nothing."""
        return WordPieces(self.tokenizer, rows=self.count + 1, start=0, end=0, most=MOST_PIECES)

    def read(self, texts: Sequence[str]) -> tuple[IntArray, IntArray, NDArray[np.bool_]]:
        """Rows of the table, text after text, (t,), how many each text has, (n,), and whether it was cut, (n,)."""
        ids, counts, cut = self.splitter(texts)
        owners = np.repeat(np.arange(len(counts)), counts)[ids > 0]
        return ids[ids > 0], np.bincount(owners, minlength=len(counts)).astype(np.int64), cut

    def look_up(self, texts: Sequence[str]) -> tuple[IntArray, IntArray]:
        """`read` without what was cut."""
        return self.read(texts)[:2]


def _parts(words: Iterable[str]) -> list[str]:
    """The commonest beginnings and continuations of words, the most frequent first."""
    found: Counter[str] = Counter()
    for word in words:
        parts = set()
        for start in range(len(word)):
            for length in _PART_LETTERS:
                if start + length <= len(word) and length < len(word):
                    parts.add((_CONTINUED if start else "") + word[start : start + length])
        found.update(parts)
    kept = [part for part, times in found.items() if times >= _LEAST_WORDS]
    return sorted(kept, key=lambda part: (-found[part], part))[:MOST_PARTS]


def _tokenizer(pieces: Sequence[str]) -> str:
    """A tokenizer.json: NFC, small letters with their accents, split at spaces and signs, the longest piece first."""
    bert = {
        "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": False,
        "lowercase": True,
    }  # fmt: skip
    signs = {"type": "Split", "pattern": {"Regex": _UNSPACED}, "behavior": "Isolated", "invert": False}
    told: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, bert]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, signs]},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordPiece", "unk_token": _UNKNOWN, "continuing_subword_prefix": _CONTINUED,
            "max_input_chars_per_word": 100, "vocab": {piece: row for row, piece in enumerate(pieces)},
        },
    }  # fmt: skip
    return json.dumps(told, ensure_ascii=False)


@dataclass(frozen=True)
class PieceTexts(HashedTexts):
    """The table rows of each text, and whether it was cut, (n,)."""

    cut: NDArray[np.bool_]

    @property
    def cut_share(self) -> float:
        """The share of the texts that are not read to their ends."""
        return float(self.cut.mean()) if len(self.cut) else 0.0


class PiecesNetwork(StaticNetwork):
    """`StaticNetwork` over pieces of words."""

    family: ClassVar[str] = "static-pieces"
    splits_texts: ClassVar[bool] = False
    words: Any  # Pieces, where its parent has Words

    @classmethod
    def create(cls, items: Sequence[RawItem], n_classes: int, generator: torch.Generator) -> PiecesNetwork:
        pieces: Any = Pieces.of(checked_texts(items))
        network = cls(pieces, DIM, hidden_units(n_classes), n_classes)
        network.draw_weights(generator)
        return network

    @classmethod
    def words_of(cls, arrays: Arrays) -> Any:
        tokenizer = np.asarray(arrays["tokenizer"], np.uint8).tobytes().decode()
        return Pieces(tokenizer, len(json.loads(tokenizer)["model"]["vocab"]) - 1)

    def prepare(self, items: Sequence[RawItem]) -> PieceTexts:
        ids, counts, cut = self.words.read(checked_texts(items))
        return PieceTexts(ids, counts, np.cumsum(counts) - counts, cut)

    def word_arrays(self) -> dict[str, NDArray[Any]]:
        return {"tokenizer": np.frombuffer(self.words.tokenizer.encode(), np.uint8)}

    def preprocess(self) -> dict[str, Any] | None:
        numbers = {"rows": self.words.count + 1, "start": 0, "end": 0, "most": MOST_PIECES}
        return {"kind": "word-pieces", **numbers, "tokenizer": self.words.tokenizer}
