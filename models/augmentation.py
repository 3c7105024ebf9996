"""Items that are not there, made of those that are: two at a time, with both of their targets.

Texts lose words, images are shifted and vectors jittered within each family's own batches; here is what needs targets.
"""

from __future__ import annotations

import numpy as np
import torch

from models.students.protocol import IntArray

Batch = tuple[torch.Tensor, ...]


def mix_pairs(
    batch: Batch, target: torch.Tensor, weight: torch.Tensor, share: float, rng: np.random.Generator
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Mix a share of a batch's items each with another one of it (mixup, zhang2018).

    Bags of ids (ids (t,), offsets (b,)) are laid together, so that each item counts by its length; tensors are averaged
    with a weight drawn evenly from 0.5 … 1. Targets (b, C) and weights (b,) are averaged as the items are.

    Args:
        batch: What the network takes.
        target: Of each item, (b, C).
        weight: Of each item, (b,).
        share: Of the items that are mixed, 0 … 1; of 0 nothing is drawn.
        rng: Draws them and their partners.
    """
    if share <= 0:
        return batch, target, weight
    n = len(target)
    partner = rng.permutation(n)
    partner = np.where(rng.random(n) < share, partner, np.arange(n))
    if len(batch) == 2:
        batch, own = _laid_together(*batch, partner)
    else:
        own = rng.uniform(0.5, 1.0, n).astype(np.float32)
        (X,) = batch
        kept = torch.from_numpy(own.reshape(-1, *[1] * (X.dim() - 1)))
        batch = (kept * X + (1 - kept) * X[torch.from_numpy(partner)],)
    kept, others = torch.from_numpy(own), torch.from_numpy(partner)
    mixed = kept[:, None] * target + (1 - kept[:, None]) * target[others]
    return batch, mixed, kept * weight + (1 - kept) * weight[others]


def _laid_together(
    ids: torch.Tensor, offsets: torch.Tensor, partner: IntArray
) -> tuple[Batch, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Each item's ids followed by its partner's, unless that is itself; and the item's own share of them, (b,)."""
    where, begins = ids.numpy(), np.append(offsets.numpy(), len(ids))
    counts = np.diff(begins)
    further = np.where(partner == np.arange(len(partner)), 0, counts[partner])
    lengths = np.stack([counts, further], 1).ravel()
    starts = np.stack([begins[:-1], begins[:-1][partner]], 1).ravel()
    laid = np.cumsum(lengths) - lengths
    taken = np.arange(int(lengths.sum())) + np.repeat(starts - laid, lengths)
    total = counts + further
    own = np.where(total > 0, counts / np.maximum(total, 1), 1.0).astype(np.float32)
    return (torch.from_numpy(where[taken]), torch.from_numpy(laid[::2].copy())), own
