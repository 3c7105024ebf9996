"""Mean of table rows, and the optimiser of such a table: what the texts' students spend nearly all of their time in.

torch's own pair (``EmbeddingBag`` with sparse gradients, ``SparseAdam``) sorts and masks the touched rows several times
a step. Here they are found once, without sorting. Sums are made in the order of the ids on one thread: the same inputs
give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from models.optimisers import EagerOptimizer
from models.students.protocol import FloatArray, IntArray, unseeded


class Bag(nn.Module):
    """The mean of some rows of a table (rows, dim) for each item; row 0 pads, and counts for nothing.

    Attributes:
        weight: The table. Its gradients are sparse: `RowAdam` is made for them.
    """

    def __init__(self, rows: int, dim: int):
        super().__init__()
        with unseeded():
            self.weight = nn.Parameter(torch.zeros(rows, dim))

    @property
    def num_embeddings(self) -> int:
        """Rows of the table."""
        return self.weight.shape[0]

    @property
    def embedding_dim(self) -> int:
        """Columns of the table."""
        return self.weight.shape[1]

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Means (b, dim) of the rows ``ids`` (t,), item after item; ``offsets`` (b,) says where each item begins.

        An item without a row, or with padding only, gets zeros.
        """
        mean: torch.Tensor = cast(Any, _Mean).apply(self.weight, ids, offsets)
        return mean


class _Mean(torch.autograd.Function):
    """The matrix product of the items' shares in each row, (b, rows) and sparse, with the table."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        from scipy.sparse import csr_array

        where, begins = ids.numpy(), np.append(offsets.numpy(), len(ids))
        share = _shares(where, begins)
        ctx.bag = where, begins, share, tuple(weight.shape)
        out = csr_array((share, where, begins), shape=(len(begins) - 1, weight.shape[0])) @ weight.detach().numpy()
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        from scipy.sparse import csc_array

        where, begins, share, shape = ctx.bag
        touched, place = first_seen(where, shape[0])
        slope = csc_array((share, place, begins), shape=(len(touched), len(begins) - 1)) @ upstream[0].numpy()
        rows = torch.from_numpy(touched)[None]
        sparse = torch.sparse_coo_tensor(
            rows, torch.from_numpy(slope), shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None, None


def _shares(ids: IntArray, begins: IntArray) -> FloatArray:
    """What each id counts in its item's mean, (t,): nothing where it is padding."""
    counts = np.diff(begins)
    real = ids > 0
    if not real.all():
        item = np.repeat(np.arange(len(counts)), counts)
        present = np.bincount(item[real], minlength=len(counts))
        return np.where(real, 1.0 / np.maximum(present, 1)[item], 0.0).astype(np.float32)
    return np.repeat((1.0 / np.maximum(counts, 1)).astype(np.float32), counts)


def first_seen(ids: IntArray, rows: int) -> tuple[IntArray, IntArray]:
    """The different ids (u,), each once, and for each of ``ids`` (t,) its place among them; no sorting.

    >>> touched, place = first_seen(np.array([7, 2, 7]), 10)
    >>> touched.tolist(), place.tolist(), touched[place].tolist()
    ([2, 7], [1, 0, 1], [7, 2, 7])
    """
    slot = np.empty(rows, np.int64)
    order = np.arange(len(ids))
    slot[ids] = order  # the last place of each id stands
    touched = ids[slot[ids] == order]
    slot[touched] = order[: len(touched)]
    return touched, slot[ids]


class RowAdam(EagerOptimizer):
    """Adam (kingma2015) on the rows that a sparse gradient touches; the others rest, moments and all.

    It does what ``torch.optim.SparseAdam`` does, and takes gradients of ``nn.Embedding`` and ``nn.EmbeddingBag`` too.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ):
        if lr <= 0 or eps <= 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr {lr} and eps {eps} must be positive, betas {betas} in 0 … 1")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; parameters without a gradient rest."""
        if closure is not None:
            raise ValueError("A step takes no closure.")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        rows, slope = _touched(cast(torch.Tensor, parameter.grad))
        state, table = self.state[parameter], parameter.detach().numpy()
        dim = table.shape[1]
        if not state:
            # Mean and square of a row lie side by side: one look-up and one write-back for both.
            state["step"], state["moments"] = 0, np.zeros((len(table), 2 * dim), table.dtype)
        state["step"] += 1
        first, second = group["betas"]
        moments = np.take(state["moments"], rows, 0)
        mean, square = moments[:, :dim], moments[:, dim:]
        mean += np.float32(1 - first) * (slope - mean)
        square += np.float32(1 - second) * (slope * slope - square)
        state["moments"][rows] = moments
        rate = group["lr"] * np.sqrt(1 - second ** state["step"]) / (1 - first ** state["step"])
        move = np.sqrt(square)
        move += np.float32(group["eps"])
        np.divide(mean, move, out=move)
        move *= np.float32(rate)
        table[rows] -= move


def _touched(gradient: torch.Tensor) -> tuple[IntArray, FloatArray]:
    """The rows of a sparse gradient, each once, and their slopes."""
    from scipy.sparse import csc_array

    if not gradient.is_sparse:
        raise ValueError("RowAdam takes sparse gradients; give dense parameters to torch.optim.Adam.")
    ids, slopes = gradient._indices()[0].numpy(), gradient._values().numpy()
    touched, place = first_seen(ids, gradient.shape[0])
    if len(touched) == len(ids):  # torch forgets that they are; coalescing would sort them again
        return ids, slopes
    once = np.ones(len(ids), slopes.dtype)
    summed: FloatArray = csc_array((once, place, np.arange(len(ids) + 1)), shape=(len(touched), len(ids))) @ slopes
    return touched, summed
