"""Networks of transformers as encoders use them: loaded without trust, run on torch, their output pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem
from models.errors import UnusableModel
from models.hub import HubModel, short
from models.images import open_rgb
from models.length_batches import length_batches
from models.library_noise import without_noise

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float32]

DEFAULT_TOKENS = 512
"""Where neither the operator nor the model says how long a text may be."""
_BLOCK = 1_024
_IMAGES = 16
#: A tokenizer that knows no limit says 10**30.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class _Loaded:
    """A network, and whether the weights of its own pooling were in the file."""

    network: Any
    pools: bool


def _load(name: str, folder: Path) -> _Loaded:
    import torch

    with without_noise():  # its first import loads torchao, where that is
        from transformers import AutoModel, PreTrainedModel  # noqa: F401 - the second loads what the first puts off
    _be_quiet()
    try:
        network, report = AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as error:  # whatever a file that somebody made can cause: it is theirs to put right
        raise UnusableModel(name, f"transformers cannot load it: {short(error)}") from error
    missing = sorted(report["missing_keys"])
    needed = [key for key in missing if "pooler" not in key.split(".")]
    if needed:
        raise UnusableModel(name, f"its file lacks {len(needed)} weights of the network, {needed[0]} for one.")
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return _Loaded(network.eval(), not missing)


def _be_quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


class _Network:
    """What texts and images have in common: a forward pass, pooling, and length 1."""

    def __init__(self, name: str, model: HubModel, folder: Path, threads: int):
        self.name, self.model, self.threads = name, model, threads
        loaded = _load(name, folder)
        self._network, self._pools = loaded.network, loaded.pools
        self._has_class_token = any("cls_token" in key for key in loaded.network.state_dict())

    def _rows(self, inputs: dict[str, Any], mask: Any) -> FloatArray:
        """Pooled hidden states (n, dim), before scaling."""
        import torch

        from models.threads import torch_threads

        try:
            with torch_threads(self.threads), torch.inference_mode():
                out = self._network(**inputs, return_dict=True)
                return np.asarray(self._pooled(out, mask).float().numpy())
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise UnusableModel(self.name, f"its network cannot be run on these items: {short(error)}") from error

    def _pooled(self, out: Any, mask: Any) -> torch.Tensor:
        pooled: torch.Tensor | None = getattr(out, "pooler_output", None) if self._pools else None
        hidden: torch.Tensor = out.last_hidden_state
        pooling = self.model.pooling
        if pooling == "pooled" and pooled is None:
            raise UnusableModel(self.name, "it has no pooling of its own. Register it with pooling mean or cls.")
        if pooled is not None and (pooling == "pooled" or (pooling == "auto" and mask is None)):
            return pooled.flatten(1)
        if hidden.ndim == 4:  # a map of a convolutional network: (n, dim, height, width)
            return hidden.mean(dim=(2, 3))
        if pooling == "cls" or (pooling == "auto" and mask is None and self._has_class_token):
            return hidden[:, 0]
        if mask is None:
            return hidden[:, 1:].mean(dim=1) if self._has_class_token else hidden.mean(dim=1)
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        mean: torch.Tensor = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return mean


def _scaled(rows: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Rows of length 1, and which are usable: one that is not finite becomes zero."""
    good: NDArray[np.bool_] = np.atleast_1d(np.isfinite(rows).all(axis=1))
    rows = np.where(good[:, None], rows, 0).astype(np.float32)
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.maximum(norms, 1e-12)).astype(np.float32), good


class Texts(_Network):
    """A network that reads texts."""

    def __init__(self, name: str, model: HubModel, folder: Path, threads: int):
        super().__init__(name, model, folder, threads)
        self._tokenizer = load_tokenizer(name, folder)
        self.limit = self._most_tokens()
        self.dim = int(self._rows(*self._feed(self._read(["a"])[0])).shape[1])

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of texts; those of anything else are zero."""
        found = np.zeros((len(items), self.dim), np.float32)
        n_cut = n_failed = 0
        for start in range(0, len(items), _BLOCK):
            block = items[start : start + _BLOCK]
            good = [place for place, item in enumerate(block) if isinstance(item, str)]
            read, cut = self._read([str(block[place]) for place in good])
            n_cut += cut
            n_failed += len(block) - len(good)
            lengths = np.array([len(ids) for ids in read], np.int64)
            for batch in length_batches(lengths) if len(lengths) else []:
                rows, usable = _scaled(self._rows(*self._feed([read[i] for i in batch])))
                n_failed += int((~usable).sum())
                found[start + np.array(good)[batch]] = rows
        return Encoded(found, n_cut=n_cut, n_failed=n_failed)

    def _read(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """The tokens of each text, and how many were cut."""
        if not texts:
            return [], 0
        # A lone surrogate is a string in Python, but no text anywhere else.
        clean = [self.model.prefix + text.encode("utf-8", "replace").decode() for text in texts]
        found: list[list[int]] = self._tokenizer(clean, verbose=False)["input_ids"]
        long = [place for place, ids in enumerate(found) if len(ids) > self.limit]
        for place in long:
            found[place] = self._tokenizer(clean[place], truncation=True, max_length=self.limit)["input_ids"]
        return [ids or [self._tokenizer.pad_token_id] for ids in found], len(long)

    def _feed(self, ids: Sequence[Sequence[int]]) -> tuple[dict[str, Any], Any]:
        inputs = dict(self._tokenizer.pad({"input_ids": [list(row) for row in ids]}, return_tensors="pt"))
        return inputs, inputs["attention_mask"]

    def _most_tokens(self) -> int:
        """What the model was made for, or less where the operator says so."""
        config = self._network.config
        limits = [self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", None)]
        if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer") and limits[1]:
            limits[1] -= 2  # their positions begin behind the padding's
        known = [limit for limit in limits if isinstance(limit, int) and 0 < limit < _NO_LIMIT]
        most = min(known, default=DEFAULT_TOKENS)
        return min(most, self.model.max_tokens) if self.model.max_tokens else min(most, DEFAULT_TOKENS)


def load_tokenizer(name: str, folder: Path) -> Any:
    """The tokenizer of a registered model, which pads and cuts on the right; raises UnusableModel."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as in _load
        raise UnusableModel(name, f"its tokenizer cannot be loaded: {short(error)}") from error
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise UnusableModel(name, "its tokenizer has neither a padding nor an end token. Name one, and save it again.")
    return tokenizer


class Images(_Network):
    """A network that reads images."""

    def __init__(self, name: str, model: HubModel, folder: Path, threads: int):
        super().__init__(name, model, folder, threads)
        self._processor = _processor(name, folder)
        from PIL import Image

        self.dim = int(self._rows({"pixel_values": self._pixels(Image.new("RGB", (32, 32)))[None]}, None).shape[1])

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of images; those of what does not decode are zero."""
        import torch

        found = np.zeros((len(items), self.dim), np.float32)
        n_failed = 0
        for start in range(0, len(items), _IMAGES):
            opened = [open_rgb(item) for item in items[start : start + _IMAGES]]
            pixels = {start + i: self._pixels(image) for i, image in enumerate(opened) if image is not None}
            n_failed += len(opened) - len(pixels)
            for places in _alike(pixels):
                batch = torch.stack([pixels[place] for place in places])
                rows, usable = _scaled(self._rows({"pixel_values": batch}, None))
                n_failed += int((~usable).sum())
                found[places] = rows
        return Encoded(found, n_failed=n_failed)

    def _pixels(self, image: Any) -> torch.Tensor:
        try:
            # Said, and not guessed: an image three pixels high could be taken for one with its channels first.
            found = self._processor(images=image, return_tensors="pt", input_data_format="channels_last")
            pixels: torch.Tensor = found["pixel_values"][0]
        except (TypeError, ValueError, KeyError, RuntimeError) as error:
            raise UnusableModel(self.name, f"its image processor cannot be used: {short(error)}") from error
        return pixels


def _alike(pixels: Mapping[int, Any]) -> list[list[int]]:
    """Places whose pixels have the same shape, together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, tensor in pixels.items():
        groups.setdefault(tuple(tensor.shape), []).append(place)
    return list(groups.values())


def _processor(name: str, folder: Path) -> Any:
    from transformers import AutoImageProcessor

    try:
        # Pillow's on every machine: torchvision's gives slightly other pixels.
        return AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            folder, local_files_only=True, trust_remote_code=False, backend="pil"
        )
    except Exception as error:  # as in _load
        raise UnusableModel(name, f"its image processor cannot be loaded: {short(error)}") from error
