"""A tiny random BERT as base weights, and texts that it can tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.finetune.base import Base, find_base
from models.hub import HubModel
from tests.models.tiny_hub_models import WORDS, tiny_bert

NAME = "hf:tiny"
PLAIN = WORDS[4:]


def tiny_base(folder: Path, **shape: int) -> Base:
    """Two layers of 32 dimensions."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32, **shape}
    tiny_bert(folder / "model", **shape)
    return find_base(NAME, {NAME: HubModel(str(folder / "model"))}, folder / "cache")


def texts_of(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of five words; their class is which of two words they have."""
    rng = np.random.default_rng(seed)
    rest = [word for word in PLAIN if word not in ("river", "bank")]
    y = rng.integers(2, size=n)
    texts = [" ".join(rng.permutation([("river", "bank")[c], *rng.choice(rest, 4)])) for c in y]
    return texts, y
