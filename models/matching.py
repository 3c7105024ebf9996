"""Feature matching: what a student's head reads is drawn to the teacher's features of the same items (jiao2020)."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from models.errors import BadInput
from models.optimisers import Adam
from models.students.protocol import FloatArray, Network, unseeded

WEIGHT = 1.0
"""Of the matching beside the cross-entropy."""
_RATE = 1e-3


class FeatureMatch(nn.Module):
    """1 − the cosine between a student's states, projected, and the teacher's features: the mean of items and layers.

    The projections are trained along and thrown away. The cosine asks for no lengths, which an encoder scales away.
    """

    def __init__(self, features: FloatArray, width: int, generator: torch.Generator):
        """Features (n, k, d) of the first n items for the last k states, and the width of those."""
        super().__init__()
        self.features = torch.from_numpy(features)
        _, layers, wanted = features.shape
        with unseeded():
            self.projections = nn.ModuleList(nn.Linear(width, wanted) for _ in range(layers))
        with torch.no_grad():
            for projection in cast("list[nn.Linear]", self.projections):
                projection.bias.zero_()
                if width == wanted:
                    nn.init.eye_(projection.weight)  # a student cut from the encoder begins in its space
                else:
                    projection.weight.normal_(0.0, width**-0.5, generator=generator)

    def forward(
        self, network: Network, batch: tuple[torch.Tensor, ...], rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (b, C) of a batch, and what is to be added to its loss; rows beyond the features do not count."""
        states = network.states(*batch)
        logits: torch.Tensor = cast(nn.Module, network.head)(states[-1])
        known = rows < len(self.features)
        if not known.any():
            return logits, logits.new_zeros(())
        wanted = self.features[rows[known]]
        apart = [
            1 - nn.functional.cosine_similarity(projection(state[known]), wanted[:, layer], dim=1).mean()
            for layer, (projection, state) in enumerate(
                zip(self.projections, states[-len(self.projections) :], strict=True)
            )
        ]
        return logits, WEIGHT * torch.stack(apart).mean()

    def optimisers(self) -> list[torch.optim.Optimizer]:
        """What trains the projections."""
        return [Adam(self.projections.parameters(), lr=_RATE)]


def make_match(
    network: Network, features: ArrayLike | None, n_items: int, generator: torch.Generator
) -> FeatureMatch | None:
    """What matches a network's states with features; None without features, or where it has no states.

    Args:
        network: The student's.
        features: Shape (n_items, d) for its last state, or (n_items, k, d) for its last k.
        n_items: How many items have features; others come behind them.
        generator: Draws the projections where widths differ.

    Raises:
        BadInput: features of another number of items, or not finite ones.
    """
    if features is None or not network.matches or not n_items:
        return None
    wanted = np.array(features, np.float32)
    if wanted.ndim == 2:
        wanted = wanted[:, None]
    if wanted.ndim != 3 or len(wanted) != n_items or not np.isfinite(wanted).all():
        raise BadInput(f"Features must be finite and of shape ({n_items}, d), not {np.shape(features)}.")
    return FeatureMatch(wanted, cast(nn.Linear, network.head).in_features, generator)
