"""A sentence encoder as it is handed out: one ONNX graph, one tokenizer, a few settings."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.compression.network import EncoderNetwork, Weights, amplitudes_of
from models.compression.text_graph import pool_chunks
from models.compression.vocabulary import special_piece
from models.minilm_graph import activation_names, build_graph, layer_count
from predictor.cascade import Pieces, TextNetwork

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

BITS = 7
"""Of quantised weights: processors without VNNI add two 8-bit products in 16 bits, which 8 bits would overflow."""
CHUNK_TOKENS, MAX_CHUNKS = 256, 8
FORMS = ("fp32", "int8", "int8-static")


@dataclass(frozen=True)
class Compact:
    """An encoder that `predictor.cascade.TextNetwork` runs.

    Attributes:
        model: The serialised graph: ``ids``, ``mask``, ``share`` in, ``embedding`` (texts, width) out.
        tokenizer: Its tokenizer.json.
        settings: ``cls``, ``sep``, ``chunk_tokens``, ``max_chunks``.
    """

    model: bytes
    tokenizer: str
    settings: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 in hex of all that determines its output."""
        total = hashlib.sha256(self.model)
        total.update(self.tokenizer.encode())
        total.update(repr(sorted(self.settings.items())).encode())
        return total.hexdigest()

    def network(self, threads: int = 1) -> TextNetwork:
        """Ready to run."""
        return TextNetwork(self.model, self.tokenizer.encode(), self.settings, threads=threads)


def build_compact(
    weights: Weights, tokenizer: str, form: str = "int8", *, calibration: Sequence[IntArray] = (), bits: int = BITS
) -> Compact:
    """Put weights and a tokenizer together.

    Args:
        weights: Of an encoder, by their names in the Hugging Face checkpoint.
        tokenizer: Whose pieces the weights know.
        form: ``fp32``; ``int8``, activations quantised as they come; ``int8-static``, by what calibration saw.
        calibration: Pieces of some texts, special ones included; ``fp32`` needs none.
        bits: Of quantised weights.
    """
    amplitudes, ranges = None, None
    if form != "fp32":
        seen = EncoderNetwork(weights).ranges(calibration)
        even = set(activation_names(layer_count(weights)))
        amplitudes = {name: value for name, value in amplitudes_of(seen).items() if name in even}
        ranges = seen if form == "int8-static" else None
    graph = build_graph(weights, None if form == "fp32" else bits, amplitudes=amplitudes, ranges=ranges)
    settings = {
        "cls": special_piece(tokenizer, "[CLS]"),
        "sep": special_piece(tokenizer, "[SEP]"),
        "chunk_tokens": CHUNK_TOKENS,
        "max_chunks": MAX_CHUNKS,
    }
    return Compact(pool_chunks(graph).SerializeToString(deterministic=True), tokenizer, settings)


def text_pieces(tokenizer: str, texts: Sequence[str], most: int = CHUNK_TOKENS) -> list[IntArray]:
    """The pieces of each text with ``[CLS]`` and ``[SEP]`` around them, at most ``most`` in all: its first chunk."""
    reader, first, last = _reader(tokenizer)
    found: list[Any] = reader.ids(texts)
    return [np.concatenate([[first], ids[: most - 2], [last]]).astype(np.int64) for ids in found]


@lru_cache(maxsize=4)
def _reader(tokenizer: str) -> tuple[Pieces, int, int]:
    """Parsing a tokenizer takes longer than reading a text with it."""
    return Pieces(tokenizer.encode()), special_piece(tokenizer, "[CLS]"), special_piece(tokenizer, "[SEP]")
