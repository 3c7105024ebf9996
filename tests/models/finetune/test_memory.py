"""How many texts fit into the memory at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.errors import BadInput
from models.finetune.memory import kept_bytes, plan_memory


class Squares(nn.Module):
    """A million weights; keeps its input, a megabyte for each row, unless it computes again."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(250_000))
        self.again = False

    def forward(self, rows):
        return {"loss": (rows * self.weight).sum() if not self.again else self.weight.sum() * rows.detach().mean()}

    def activation_checkpointing_enable(self, how):
        assert how == {"use_reentrant": False}
        self.again = True


def rows(n):
    return {"rows": torch.ones(n, 250_000)}


def plan(megabytes, checkpointing=None, batch_size=16):
    return plan_memory(Squares(), rows, batch_size, megabytes, checkpointing, layers=4)


def test_what_the_backward_pass_keeps_is_counted_once_and_weights_are_not():
    before = torch.get_rng_state()
    assert kept_bytes(Squares(), rows(3)) == 3_000_000
    assert torch.equal(torch.get_rng_state(), before)


def test_the_batch_is_halved_until_it_fits():
    assert (plan(25).part, plan(25).megabytes) == (16, 21.0)  # 5 MB of weights and what is kept beside them
    assert (plan(20).part, plan(13).part, plan(12).part) == (8, 8, 4)
    assert plan(40, batch_size=5).part == 5
    assert (plan(8.5, batch_size=5).part, plan(7.5, batch_size=5).part) == (3, 2)


def test_activations_are_computed_again_where_not_even_one_text_fits():
    tight = plan(5.9)
    assert (tight.checkpointing, tight.part) == (True, 2)
    assert plan(40, checkpointing=True).checkpointing
    assert not plan(40).checkpointing


def test_it_is_said_when_nothing_helps():
    with pytest.raises(BadInput, match=r"needs about 6 MB for one text at a time, and may take 6"):
        plan(5.9, checkpointing=False)
    with pytest.raises(BadInput, match="raise memory_mb, lower max_tokens, or train fewer weights"):
        plan(2)
