"""Trunks of tiny random encoders: BERT's shape, sixteen dimensions, a vocabulary that one can read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from models import distill as distillation
from models.distill import distil
from models.students.student import Student
from models.students.transformer import TransformerNetwork
from models.trunks import Trunk
from tests.models.small_students import FILLER, FRUIT, KINDS, TOOLS, soft_labels, texts

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIECES = [
    *("[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    *("orchard", "##s", "banana", "ban", "##ana", "ham", "##mer", "straße", "strasse", "水", "!", ",", "é"),
]
LAYERS, DIM, INNER, HEADS, POSITIONS = 3, 16, 24, 2, 40


def tokenizer_json(**changed: Any) -> str:
    """A tokenizer.json of BERT's kind, over the words of `small_students` and a few pieces."""
    words = dict.fromkeys([*PIECES, *FRUIT, *TOOLS, *FILLER])
    vocabulary = {piece: place for place, piece in enumerate(words)}
    added = [{"id": vocabulary[name], "content": name, "special": True} for name in PIECES if name.startswith("[")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    normalizer = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    model = {"unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    whole = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**token, **flags} for token in added],
        "normalizer": {"type": "BertNormalizer", **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordPiece", **model, "vocab": vocabulary},
    }
    return json.dumps({**whole, **changed})


def vocabulary() -> dict[str, int]:
    """The ids of the tokenizer's pieces."""
    found: dict[str, int] = json.loads(tokenizer_json())["model"]["vocab"]
    return found


@cache
def tiny_trunk(seed: int = 0) -> Trunk:
    """Three layers of random weights."""
    return Trunk("tiny", tiny_arrays(seed), tokenizer_json(), HEADS, 1e-12)


def tiny_arrays(seed: int = 0) -> dict[str, Any]:
    """Random weights under the names of a Hugging Face checkpoint."""
    rng = np.random.default_rng(seed)
    shapes = {
        "embeddings.word_embeddings.weight": (len(vocabulary()), DIM),
        "embeddings.position_embeddings.weight": (POSITIONS, DIM),
        "embeddings.token_type_embeddings.weight": (2, DIM),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        here = f"encoder.layer.{layer}"
        for part in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{here}.{part}.weight": (DIM, DIM), f"{here}.{part}.bias": (DIM,)}
        shapes |= {f"{here}.intermediate.dense.weight": (INNER, DIM), f"{here}.intermediate.dense.bias": (INNER,)}
        shapes |= {f"{here}.output.dense.weight": (DIM, INNER), f"{here}.output.dense.bias": (DIM,)}
        norms += [f"{here}.attention.output.LayerNorm", f"{here}.output.LayerNorm"]
    arrays = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    for name in norms:
        arrays[f"{name}.weight"] = rng.normal(1, 0.1, DIM).astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(0, 0.1, DIM).astype(np.float32)
    return arrays


def save_encoder_folder(folder: Path, **config: Any) -> Path:
    """The tiny encoder as transformers would save it: what an operator registers."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shape = {"hidden_size": DIM, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": INNER}
    known = {"vocab_size": len(vocabulary()), "max_position_embeddings": POSITIONS, "type_vocab_size": 2}
    whole = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu", "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps({**whole, **shape, **known, **config}), "utf-8")
    (folder / "tokenizer.json").write_text(tokenizer_json(), "utf-8")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": POSITIONS, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    save_file(tiny_arrays(), folder / "model.safetensors")
    return folder


@cache
def transformer_student(family: str = "transformer-2") -> Student:
    """A student of one to three tiny layers that tells fruit from tools."""
    items, y = texts(300)
    features = np.random.default_rng(0).normal(size=(2, 8))[y] + 0.01
    soft = soft_labels(y, 2)
    rng = np.random.default_rng(0)
    with quick():
        return distil(
            family, items, soft, [], [], class_names=KINDS, rng=rng, features=features, trunk=tiny_trunk(), epochs=4
        ).student


@contextmanager
def quick() -> Iterator[None]:
    """Fewer steps, at a rate for tiny layers that know nothing yet."""
    with mock.patch.object(TransformerNetwork, "rate", 0.01), mock.patch.object(distillation, "_LEAST_STEPS", 60):
        yield
