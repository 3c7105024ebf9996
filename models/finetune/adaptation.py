"""Self-supervised adaptation: an encoder goes on learning from texts without labels, before it is used on them.

Contrastive, in the manner of SimCSE (gao2021): a text is read twice, each time with other neurons left out and, where
asked for, with other words left out; the two readings shall be nearer to each other than to the batch's other texts.
No round uses it: where it was measured it did not pay (docs/finetuning.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import BadInput
from models.finetune.base import Base, BaseNetwork
from models.finetune.forward import pass_over
from models.finetune.recipe import chosen_precision
from models.finetune.seeds import borrowed_seeds
from models.finetune.training import Keeper, NoKeeper
from models.threads import torch_threads

FloatArray = NDArray[np.float32]

_LEAST_WORDS = 2


@dataclass(frozen=True)
class AdaptationRecipe:
    """The choices of an adaptation.

    Attributes:
        steps: Batches to learn from.
        batch_size: Texts that are told apart in each.
        learning_rate: Of AdamW, falling to zero in a straight line.
        sharpness: What similarities are multiplied by: 20 is a temperature of 0.05.
        deletion: Share of the tokens that each reading leaves out.
        max_tokens: Longer texts are cut.
        precision: As in `models.finetune.recipe.FinetuneRecipe`.

    Raises:
        BadInput: A value is out of its range.
    """

    steps: int = 100
    batch_size: int = 32
    learning_rate: float = 3e-5
    sharpness: float = 20.0
    deletion: float = 0.0
    max_tokens: int = 64
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 2 or self.max_tokens < 4:
            raise BadInput("An adaptation needs at least one step, two texts a batch and four tokens a text.")
        if not self.learning_rate > 0 or not self.sharpness > 0 or not 0 <= self.deletion < 1:
            raise BadInput("learning_rate and sharpness must be above 0, and deletion in 0 … 1, without 1.")


class AdaptedEncoder:
    """A network that has gone on learning from the texts of a pool; encodes texts.

    Attributes:
        losses: What the contrast lost at each step.
    """

    def __init__(self, base: BaseNetwork, recipe: AdaptationRecipe):
        self._base, self._recipe = base, recipe
        self.losses: list[float] = []

    @classmethod
    def fit(
        cls,
        base: Base,
        texts: Sequence[str],
        recipe: AdaptationRecipe,
        rng: np.random.Generator,
        *,
        keeper: Keeper | None = None,
        threads: int | None = None,
    ) -> AdaptedEncoder:
        """Adapt all weights of ``base`` to ``texts``.

        Args:
            base: The weights to begin from; they are loaded anew, and what others loaded stays as it is.
            texts: At least as many as a batch has; drawn from again and again.
            recipe: How.
            rng: All randomness.
            keeper: Is told how far it is, and may raise to stop. Nothing is saved: it is over in minutes.
            threads: How many torch may use; all cores but one where None.

        Raises:
            BadInput: Fewer texts than a batch has.
            UnusableModel: The base cannot be loaded.
        """
        if len(texts) < recipe.batch_size:
            raise BadInput(f"There are {len(texts)} texts for batches of {recipe.batch_size}: add items first.")
        made = cls(BaseNetwork(base, max_tokens=recipe.max_tokens, threads=threads), recipe)
        with torch_threads(made._base.threads), borrowed_seeds(int(rng.integers(1 << 31))):
            made._learn(made._base.read(list(texts)), rng, keeper or NoKeeper())
        return made

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings of length 1, (n, dim)."""
        self._base.encoder.eval()
        with torch_threads(self._base.threads):
            return pass_over(self._embed, self._base, self._base.read(list(texts)), self._base.dim, bf16=self._in_bf16)

    @property
    def _in_bf16(self) -> bool:
        return chosen_precision(self._recipe.precision) == "bf16"

    def _learn(self, ids: list[list[int]], rng: np.random.Generator, keeper: Keeper) -> None:
        recipe, network = self._recipe, self._base.encoder
        optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=0.0)
        network.train()
        for step in range(recipe.steps):
            for group in optimiser.param_groups:
                group["lr"] = recipe.learning_rate * (1 - step / recipe.steps)
            rows = [ids[row] for row in rng.choice(len(ids), recipe.batch_size, replace=False)]
            with torch.autocast("cpu", torch.bfloat16, enabled=self._in_bf16):
                first, second = (self._embed(**self._base.feed(self._thinned(rows, rng))) for _ in range(2))
            loss = contrast(first.float(), second.float(), recipe.sharpness)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            self.losses.append(float(loss.detach()))
            keeper.tell((step + 1) / recipe.steps, f"adapting the encoder, step {step + 1} of {recipe.steps}")
        network.eval()

    def _thinned(self, rows: list[list[int]], rng: np.random.Generator) -> list[list[int]]:
        """Each text without some of its tokens; the first and the last, which frame it, stay."""
        if not self._recipe.deletion:
            return rows
        return [_without(row, rng.random(len(row)) < self._recipe.deletion) for row in rows]

    def _embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        out = self._base.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        pooled: Any = self._base.pool(out, attention_mask)
        return nn.functional.normalize(pooled, dim=1)


def contrast(first: torch.Tensor, second: torch.Tensor, sharpness: float) -> torch.Tensor:
    """Mean −log of the share of each row's own second reading among all second readings; both (n, d), length 1.

    >>> rows = torch.eye(2)
    >>> round(float(contrast(rows, rows, 1.0)), 4)  # log(1 + e⁻¹)
    0.3133
    """
    similar = first @ second.T * sharpness
    return nn.functional.cross_entropy(similar, torch.arange(len(first)))


def _without(row: list[int], out: NDArray[np.bool_]) -> list[int]:
    kept = [token for place, token in enumerate(row) if not out[place] or place in (0, len(row) - 1)]
    return kept if len(kept) >= _LEAST_WORDS + 2 else row
