"""Optimisers without a compiler: torch's own steps, and nothing loaded for them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from models import optimisers

TRAINS = """
import sys
import numpy as np
from models.distill import distil
texts = [f"word{i % 7} other{i % 5}" for i in range(40)]
vectors = list(np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32))
for family, items in (("static", texts), ("hashed", texts), ("mlp", vectors)):
    soft = np.tile([0.3, 0.7], (40, 1))
    rng = np.random.default_rng(0)
    distil(family, items, soft, items[:4], [0, 1, 0, 1], class_names=("a", "b"), rng=rng, epochs=1)
print("torch._dynamo" in sys.modules)
"""


def test_students_are_trained_without_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_steps_are_those_of_torch_to_the_bit(name: str, fused: bool) -> None:
    weights = []
    for module in (torch.optim, optimisers):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
        optimiser = getattr(module, name)([{"params": [weight], "lr": 0.1}], weight_decay=0.01, fused=fused)
        for step in range(5):
            optimiser.zero_grad()
            ((weight * torch.arange(4.0) - step) ** 2).sum().backward()
            optimiser.step()
        weights.append(weight.detach().clone())
    assert torch.equal(*weights)
    assert not torch.equal(weights[0], torch.linspace(-1, 1, 12).reshape(3, 4))


def test_a_step_leaves_gradients_on() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = optimisers.AdamW([weight], lr=0.1)
    weight.sum().backward()
    optimiser.step()
    assert torch.is_grad_enabled()
    assert (weight * 2).requires_grad
