"""The word pieces that a pool is made of, and a tokenizer that knows no others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput

IntArray = NDArray[np.int64]


COMMON = 8_000
"""Pieces that are kept beside those of the texts: a word that is spelled in characters means little to an encoder."""
_UNUSED = "[unused"


def pieces_to_keep(tokenizer: str, used: Iterable[IntArray], common: int = 0) -> IntArray:
    """The pieces of a WordPiece tokenizer that some texts use, the special ones and all single characters, ascending.

    The longest piece that fits is taken first: so the texts are split as before, and any other word into shorter
    pieces, at worst into characters; a word becomes unknown only where it was before.

    Args:
        tokenizer: A tokenizer.json.
        used: The pieces of each text.
        common: So many pieces with the lowest numbers stay too: in BERT's vocabulary these are the commonest.

    Raises:
        BadInput: It is no WordPiece tokenizer.
    """
    data, vocabulary = _parsed(tokenizer)
    prefix = str(data["model"].get("continuing_subword_prefix", "##"))
    kept = {vocabulary[token["content"]] for token in data.get("added_tokens", []) if token["content"] in vocabulary}
    kept.update(number for piece, number in vocabulary.items() if len(piece.removeprefix(prefix)) == 1)
    for ids in used:
        kept.update(ids.tolist())
    named = [number for piece, number in vocabulary.items() if not piece.startswith(_UNUSED)]
    kept.update(sorted(named)[:common])
    return np.array(sorted(kept), np.int64)


def trim_tokenizer(tokenizer: str, pieces: IntArray) -> str:
    """The tokenizer that knows these pieces only, numbered afresh in this order; it neither cuts nor pads.

    Raises:
        BadInput: It is no WordPiece tokenizer.
    """
    data, vocabulary = _parsed(tokenizer)
    place = {int(old): new for new, old in enumerate(pieces.tolist())}
    kept = {piece: place[number] for piece, number in vocabulary.items() if number in place}
    data["model"]["vocab"] = dict(sorted(kept.items(), key=lambda item: item[1]))
    data["added_tokens"] = [
        {**token, "id": place[token["id"]]} for token in data.get("added_tokens", []) if token["id"] in place
    ]
    # Special pieces are added by whoever reads: each chunk of a long text needs its own.
    data |= {"post_processor": None, "truncation": None, "padding": None}
    return json.dumps(data, ensure_ascii=False)


def special_piece(tokenizer: str, name: str) -> int:
    """The number of a piece such as ``[CLS]``; raises BadInput where there is none."""
    _, vocabulary = _parsed(tokenizer)
    if name not in vocabulary:
        raise BadInput(f"The tokenizer has no piece {name}.")
    return vocabulary[name]


def _parsed(tokenizer: str) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        data = json.loads(tokenizer)
        kind, vocabulary = data["model"]["type"], data["model"]["vocab"]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"tokenizer.json cannot be read: {error!r}.") from error
    if kind != "WordPiece":
        raise BadInput(f"Only a WordPiece vocabulary can be trimmed, not one of the kind {kind!r}.")
    return data, vocabulary
