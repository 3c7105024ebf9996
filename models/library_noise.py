"""What libraries warn of each other, kept out of logs: nothing of it is about the data or the model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISY = ("torch.utils._pytree", "torch.export", "torchao", "executorch")


@contextmanager
def without_noise() -> Iterator[None]:
    """While torchao is loaded, which comes with ExecuTorch and which peft loads where it is: errors only."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
