"""Seeds for libraries that know only the process's own generators, put back afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def borrowed_seeds(seed: int) -> Iterator[None]:
    """Inside, Python, NumPy and torch draw from ``seed`` on; after it, each goes on where it was.

    Dropout, adapters and transformers' Trainer take no generator of their own.
    """
    before = (random.getstate(), np.random.get_state(), torch.get_rng_state())  # noqa: NPY002
    try:
        torch.manual_seed(seed)
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
