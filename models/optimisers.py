"""Optimisers that leave torch's compiler out.

Those of torch load it at the first step, to tell it where a graph ends. Nothing is compiled here, and loading it takes
longer than to train a small student. The steps are torch's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

_add_param_group: Callable[..., None] = inspect.unwrap(torch.optim.Optimizer.add_param_group)
_adam_step: Callable[..., Any] = inspect.unwrap(torch.optim.Adam.step)


class EagerOptimizer(torch.optim.Optimizer):
    """An optimiser with a step of its own."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's; `torch.optim.Optimizer` begins with it."""
        _add_param_group(self, param_group)


class _EagerAdam(EagerOptimizer):
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """One step; what ``closure`` gives where there is one."""
        with torch.no_grad():
            return _adam_step(self, closure)


class Adam(_EagerAdam, torch.optim.Adam):
    """`torch.optim.Adam` (kingma2015)."""


class AdamW(_EagerAdam, torch.optim.AdamW):
    """`torch.optim.AdamW`."""
