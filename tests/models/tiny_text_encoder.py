"""A text encoder small enough to follow: two layers of two heads, and words for pieces."""

from __future__ import annotations

import json

import numpy as np

WORDS = ["goal", "match", "team", "bank", "share", "price", "rain", "sun", "ban", "##k", "##ing", "b", "a", "n", "##a"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WIDTH, HEADS, UNITS, LAYERS = 64, 2, 96, 2
TEXTS = [
    "goal match team",
    "bank share price",
    "rain sun",
    "team team goal rain",
    "price of a share",
    "banking",
    "sun sun sun match bank price rain goal",
    "a",
] * 4


def tiny_tokenizer() -> str:
    """A tokenizer.json of WordPiece with lower-casing."""
    vocabulary = {piece: number for number, piece in enumerate([*SPECIAL, *WORDS])}
    added = [
        {"id": vocabulary[name], "content": name, "special": True, "single_word": False, "lstrip": False}
        | {"rstrip": False, "normalized": False}
        for name in SPECIAL
    ]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": True,
                "handle_chinese_chars": True,
                "strip_accents": None,
                "lowercase": True,
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": None,
            "decoder": None,
            "model": {
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary,
            },
        }
    )


def tiny_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by their names in a checkpoint."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": 8 * normal(len(SPECIAL) + len(WORDS), WIDTH),
        "embeddings.position_embeddings.weight": normal(512, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
    }
    sizes = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (UNITS, WIDTH),
        "output.dense": (WIDTH, UNITS),
    }
    for layer in range(LAYERS):
        for part, shape in sizes.items():
            weights[f"encoder.layer.{layer}.{part}.weight"] = normal(*shape)
            weights[f"encoder.layer.{layer}.{part}.bias"] = 0.1 * normal(shape[0])
    norms = ["embeddings.LayerNorm"]
    norms += [f"encoder.layer.{n}.{part}.LayerNorm" for n in range(LAYERS) for part in ("attention.output", "output")]
    for name in norms:
        weights[f"{name}.weight"] = np.ones(WIDTH, np.float32)
        weights[f"{name}.bias"] = np.zeros(WIDTH, np.float32)
    return weights
