"""Passes over many texts without learning: batches of about the same length, and a word between two of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.finetune.base import BaseNetwork
from models.length_batches import length_batches

FloatArray = NDArray[np.float32]
Tell = Callable[[float], None]
"""Hears how far it is, 0 … 1; may raise to stop."""


def nobody(fraction: float) -> None:
    """Hears nothing."""


def pass_over(
    network: Any, base: BaseNetwork, ids: Sequence[list[int]], width: int, *, bf16: bool, tell: Tell = nobody
) -> FloatArray:
    """What ``network(input_ids, attention_mask)`` gives for each text, (n, width) float32, in the order of the texts.

    Args:
        network: Gives (batch, width) for a padded batch.
        base: Pads.
        ids: Tokens of each text.
        width: Columns of what it gives.
        bf16: Whether products are made in bf16.
        tell: Is told how far it is after each batch.
    """
    found = np.zeros((len(ids), width), np.float32)
    if not len(ids):
        return found
    done = 0
    lengths = np.array([len(row) for row in ids], np.int64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for batch in length_batches(lengths):
            rows = network(**base.feed([ids[place] for place in batch]))
            found[batch] = rows.float().numpy()
            done += len(batch)
            tell(done / len(ids))
    return found
