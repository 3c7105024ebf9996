"""The network that is fine-tuned: an encoder, its pooling and a linear head; and which of its weights may move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.errors import BadInput, CorruptModel, UnusableModel
from models.finetune.base import BaseNetwork
from models.finetune.recipe import FinetuneRecipe
from models.library_noise import without_noise

HEAD = "head."
_UNUSED = "pooler"
_DROPOUT = 0.1

Arrays = Mapping[str, NDArray[Any]]


class TextClassifier(nn.Module):
    """Logits of texts: pooled hidden states, scaled to length 1, times a linear head.

    With the head that is best on the frozen encoder it is the frozen teacher; training goes on from there (kumar2022).
    """

    def __init__(self, base: BaseNetwork, n_classes: int, recipe: FinetuneRecipe):
        """Takes the network of ``base`` over: only the weights that the method names can be trained afterwards.

        Raises:
            UnusableModel: The network has none of the weights that the method trains.
        """
        super().__init__()
        self._base = [base]  # in a list: it is no module of this one
        self.label_smoothing = recipe.label_smoothing
        self.encoder: Any = base.encoder
        self.dropout = nn.Dropout(_DROPOUT)
        self.head = nn.Linear(base.dim, n_classes)
        _free(self, base, recipe)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """``logits`` (n, n_classes), and the mean ``loss`` where there are ``labels`` (n,)."""
        logits = self.head(self.dropout(self.embed(input_ids, attention_mask)))
        if labels is None:
            return {"logits": logits}
        loss = nn.functional.cross_entropy(logits.float(), labels, label_smoothing=self.label_smoothing)
        return {"loss": loss, "logits": logits}

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Pooled hidden states of length 1, (n, dim)."""
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)
        pooled = self._base[0].pool(out, attention_mask)
        return nn.functional.normalize(pooled, dim=1)

    def activation_checkpointing_enable(self, activation_checkpointing_kwargs: Any = None, **how: Any) -> None:
        """What transformers' Trainer calls; the encoder does it."""
        self.encoder.activation_checkpointing_enable(activation_checkpointing_kwargs, **how)

    def set_head(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Begin from this head: (n_classes, dim) and (n_classes,)."""
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
            self.head.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))

    def trainable(self) -> dict[str, nn.Parameter]:
        """The weights that training moves, by name."""
        return {name: weights for name, weights in self.named_parameters() if weights.requires_grad}

    def weight_arrays(self, dtype: Any = np.float32) -> dict[str, NDArray[Any]]:
        """A copy of the weights that training moves."""
        return {name: weights.detach().numpy().astype(dtype) for name, weights in self.trainable().items()}

    def load_weights(self, arrays: Arrays, prefix: str = "") -> None:
        """Set the weights that training moves.

        Raises:
            CorruptModel: One is missing, or is of another shape.
        """
        with torch.no_grad():
            for name, weights in self.trainable().items():
                found = arrays.get(prefix + name)
                if found is None or tuple(found.shape) != tuple(weights.shape):
                    what = "is missing" if found is None else f"has shape {found.shape}, not {tuple(weights.shape)}"
                    raise CorruptModel("A fine-tuned encoder's state", f"{name} {what}")
                weights.copy_(torch.from_numpy(np.asarray(found, np.float32)))


def _free(network: TextClassifier, base: BaseNetwork, recipe: FinetuneRecipe) -> None:
    """Let the weights of the method move and hold all others still."""
    method = recipe.method
    for name, weights in base.encoder.named_parameters():
        used = base.model.pooling == "pooled" or _UNUSED not in name.split(".")
        weights.requires_grad_(used and (method == "full" or (method == "bias" and name.endswith("bias"))))
    if method == "last":
        layers = base.layers()
        if recipe.last_layers > len(layers):
            raise BadInput(f"last_layers is {recipe.last_layers}, but {base.name} has {len(layers)} layers.")
        for _, layer in layers[-recipe.last_layers :]:
            layer.requires_grad_(True)
    if method == "lora":
        network.encoder = _adapted(base, recipe)
    if not any(weights.requires_grad for weights in network.encoder.parameters()):
        raise UnusableModel(base.name, f"it has no weights that the method {method} trains. Use full or lora.")


def _adapted(base: BaseNetwork, recipe: FinetuneRecipe) -> Any:
    """The encoder with a low-rank update beside each linear layer of its blocks (hu2022)."""
    from peft import LoraConfig, get_peft_model

    targets = [
        f"{block}.{name}"
        for block, layer in base.layers()
        for name, module in layer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    if not targets:
        raise UnusableModel(base.name, "its layers have no linear parts, which LoRA adapts. Use another method.")
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.adapter_dropout, target_modules=targets
    )
    with without_noise():  # peft asks transformers in a way that is about to go, and loads torchao where it is
        return get_peft_model(base.encoder, config)
