"""The vocabulary of a BERT tokenizer, cut down to what a project's texts are made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
"""The first rows of a trimmed vocabulary, in this order."""
PAD, UNKNOWN, START, END = range(4)
_BLOCK = 1_024


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer whose ids are the rows of a trimmed table.

    Attributes:
        tokenizer: The text of its tokenizer.json.
        rows: Shape ``(v,)``: the row of each of its ids in the table that it was trimmed from.
    """

    tokenizer: str
    rows: NDArray[np.int64]


def trim_vocabulary(tokenizer: str, texts: Sequence[str], *, most: int) -> Vocabulary:
    """Keep the pieces that occur in ``texts``, each single character, and what a text begins and ends with.

    A word of the texts is split as before: the longest piece that fits is among those kept. Another word falls into
    shorter pieces that are known, in the end into its characters; only what has no character in the vocabulary is
    unknown.

    Args:
        tokenizer: The text of a tokenizer.json.
        texts: What is to be read.
        most: How many ids a text may have, for others that use the file.

    Raises:
        BadInput: It is no tokenizer of BERT's kind.
    """
    whole = _checked(tokenizer)
    vocabulary: dict[str, int] = whole["model"]["vocab"]
    prefix = whole["model"].get("continuing_subword_prefix", "##")
    kept = _seen(tokenizer, texts)
    kept |= {id for piece, id in vocabulary.items() if len(piece.removeprefix(prefix)) == 1}
    special = [vocabulary[name] for name in SPECIAL]
    rows = np.array([*special, *sorted(kept - set(special))], np.int64)
    pieces = {id: piece for piece, id in vocabulary.items()}
    new = {pieces[id]: row for row, id in enumerate(rows.tolist())}
    trimmed = {
        **whole,
        "truncation": {"direction": "Right", "max_length": most, "strategy": "LongestFirst", "stride": 0},
        "padding": None,
        "added_tokens": [
            {**token, "id": new[token["content"]]} for token in whole["added_tokens"] if token["content"] in SPECIAL
        ],
        "post_processor": _post_processor(),
        "model": {**whole["model"], "vocab": new},
    }
    return Vocabulary(json.dumps(trimmed, ensure_ascii=False), rows)


def _checked(tokenizer: str) -> dict[str, Any]:
    """The file's content; its normaliser and its splitter look at no more than what stands between two spaces."""
    try:
        whole: dict[str, Any] = json.loads(tokenizer)
        found = [(whole[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
        vocabulary = whole["model"]["vocab"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"The encoder's tokenizer.json cannot be read: {error!r}.") from error
    if found != ["BertNormalizer", "BertPreTokenizer", "WordPiece"]:
        raise BadInput(
            f"The encoder's tokenizer is of the kind {' + '.join(map(str, found))}; transformer students are cut from "
            "encoders with BERT's (BertNormalizer + BertPreTokenizer + WordPiece). Use another student."
        )
    missing = [name for name in SPECIAL if name not in vocabulary]
    if missing:
        raise BadInput(f"The encoder's tokenizer lacks {', '.join(missing)}. Use another student.")
    return whole


def _seen(tokenizer: str, texts: Sequence[str]) -> set[int]:
    from tokenizers import Tokenizer

    reader = Tokenizer.from_str(tokenizer)
    reader.no_truncation()
    reader.no_padding()
    seen: set[int] = set()
    for start in range(0, len(texts), _BLOCK):
        block = [text.encode("utf-8", "replace").decode() for text in texts[start : start + _BLOCK]]
        for encoding in reader.encode_batch_fast(block, add_special_tokens=False):
            seen.update(encoding.ids)
    return seen


def _post_processor() -> dict[str, Any]:
    def special(name: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    def text(name: str, type_id: int) -> dict[str, Any]:
        return {"Sequence": {"id": name, "type_id": type_id}}

    single = [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)]
    ends = {"[CLS]": START, "[SEP]": END}
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, text("B", 1), special("[SEP]", 1)],
        "special_tokens": {name: {"id": name, "ids": [row], "tokens": [name]} for name, row in ends.items()},
    }
