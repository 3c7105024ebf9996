"""The lower layers of an encoder, from which transformer students are cut: read from its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoders import Hub
from models.errors import CorruptModel, ModelError, UnusableModel

MOST_LAYERS = 3
"""Layers of a trunk that a student can be cut from."""
_EMBEDDINGS = (
    "embeddings.word_embeddings.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.bias",
)
_PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


@dataclass(frozen=True)
class Trunk:
    """Embeddings and the first layers of a BERT.

    Attributes:
        name: The encoder's.
        arrays: float32, by their names in a Hugging Face checkpoint.
        tokenizer: The text of its tokenizer.json.
        heads: Of its attention.
        epsilon: Of its normalisations.
    """

    name: str
    arrays: Mapping[str, NDArray[np.float32]]
    tokenizer: str
    heads: int
    epsilon: float

    @property
    def layers(self) -> int:
        """How many layers there are to cut from."""
        return sum(name.endswith("intermediate.dense.bias") for name in self.arrays)

    def sha256(self) -> str:
        """Of all that a student is cut from, wherever it was read."""
        total = hashlib.sha256(repr((self.tokenizer, self.heads, self.epsilon)).encode())
        for name in sorted(self.arrays):
            array = np.ascontiguousarray(self.arrays[name], "<f4")
            total.update(f"{name} {array.shape}".encode() + array.tobytes())
        return total.hexdigest()


def layer_names(layer: int) -> list[str]:
    """The names of a layer's arrays."""
    return [f"encoder.layer.{layer}.{part}.{kind}" for part in _PARTS for kind in ("weight", "bias")]


def load_trunk(encoder: str, hub: Hub | None = None) -> Trunk:
    """The trunk of an encoder of texts: ``minilm``, or a registered one (``hf:NAME``) of BERT's architecture.

    Raises:
        ModelError: The encoder has no layers.
        MissingExtra: The package with MiniLM is not installed.
        CorruptModel: Its weights are not the pinned ones.
        UnusableModel: A registered model cannot be loaded, or is of another architecture.
    """
    if encoder == "minilm":
        from models.encoder_minilm import verified_folder

        folder = verified_folder()
        return _read(encoder, folder, (folder / "tokenizer.json").read_text("utf-8"))
    if hub is not None and encoder in hub:
        from models.hub import check_folder, find_folder

        folder = find_folder(encoder, hub[encoder])
        check_folder(encoder, folder, "text")
        return _read(encoder, folder, _hub_tokenizer(encoder, folder))
    raise ModelError(
        f"Transformer students are cut from the project's encoder, and {encoder!r} has no layers. Set the encoder to "
        "'minilm' or to a registered BERT, or choose another student."
    )


def _read(name: str, folder: Path, tokenizer: str) -> Trunk:
    config = _config(name, folder)
    try:
        arrays = _arrays(folder / "model.safetensors", min(MOST_LAYERS, int(config["num_hidden_layers"])))
    except OSError as error:
        raise UnusableModel(name, "transformer students need its weights in one file, model.safetensors.") from error
    except KeyError as error:
        raise CorruptModel(str(folder / "model.safetensors"), f"it lacks {error}") from error
    return Trunk(name, arrays, tokenizer, int(config["num_attention_heads"]), float(config["layer_norm_eps"]))


def _config(name: str, folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise UnusableModel(name, f"its config.json cannot be read ({error}).") from error
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    given = {"position_embedding_type": "absolute", **config}
    other = {key: given.get(key) for key, value in wanted.items() if given.get(key) != value}
    if other:
        raise UnusableModel(
            name,
            f"transformer students are cut from BERT's architecture, and it has {other}. Choose another student.",
        )
    missing = {"num_hidden_layers", "num_attention_heads", "layer_norm_eps"} - config.keys()
    if missing:
        raise UnusableModel(name, f"its config.json does not say {', '.join(sorted(missing))}.")
    return config


def _arrays(path: Path, layers: int) -> dict[str, NDArray[np.float32]]:
    from safetensors import safe_open

    names = [*_EMBEDDINGS, *(name for layer in range(layers) for name in layer_names(layer))]
    # torch's reader, because numpy has no bfloat16 and many checkpoints do.
    with safe_open(path, framework="pt") as file:
        prefix = "bert." if f"bert.{names[0]}" in file.keys() else ""  # noqa: SIM118 (no mapping)
        known = set(file.keys())
        for name in names:
            if prefix + name not in known:
                raise KeyError(name)
        return {name: file.get_tensor(prefix + name).float().numpy() for name in names}


def _hub_tokenizer(name: str, folder: Path) -> str:
    from models.hub_networks import load_tokenizer

    tokenizer = load_tokenizer(name, folder)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UnusableModel(name, "its tokenizer has no fast form (tokenizer.json). Choose another student.")
    text: str = backend.to_str()
    return text
