"""What fine-tuning begins from: the weights of an encoder, its tokenizer, and how it is pooled."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import UnusableModel
from models.hub import HubModel, check_folder, find_folder, fingerprint
from models.hub_networks import Texts


@dataclass(frozen=True)
class Base:
    """Where base weights lie and how they are used.

    Attributes:
        name: ``minilm`` or ``hf:NAME``.
        folder: With ``config.json``, safetensors and a tokenizer.
        model: Pooling, prefix and limit of tokens.
        digest: SHA-256 in hex of the files and of these options.
    """

    name: str
    folder: Path
    model: HubModel
    digest: str


def find_base(encoder: str, hub: Mapping[str, HubModel], cache: Path) -> Base:
    """The base weights for a project with that encoder: its own, or MiniLM where that is no network of texts.

    Args:
        encoder: ``minilm``, ``hf:NAME``, or anything else.
        hub: What the operator registered.
        cache: Where the hash of the files is remembered.

    Raises:
        MissingExtra: MiniLM's weights are not installed.
        UnusableModel: A registered model must not be loaded, or is not there.
    """
    if encoder in hub:
        name, model = encoder, hub[encoder]
        folder = find_folder(name, model)
    else:
        from models.encoder_minilm import model_folder

        name, folder = "minilm", model_folder()
        model = HubModel(source=str(folder), pooling="mean")
    check_folder(name, folder, "text")
    files = fingerprint(name, folder, cache)
    return Base(name, folder, model, f"{files}:{model.pooling}:{model.max_tokens}:{model.prefix}")


class BaseNetwork(Texts):
    """A network of texts, loaded to be trained: in fp32, with its tokenizer and its pooling.

    Raises:
        UnusableModel: It cannot be loaded, or it has no weights that could be trained.
    """

    def __init__(self, base: Base, *, max_tokens: int, threads: int | None = None):
        super().__init__(base.name, base.model, base.folder, threads or usable_cores())
        self.base = base
        self.limit = min(self.limit, max_tokens)

    @property
    def encoder(self) -> Any:
        """The network of transformers; what is trained is this one and no copy of it."""
        return self._network

    def pool(self, out: Any, mask: Any) -> Any:
        """One vector a text, (n, dim), before scaling."""
        return self._pooled(out, mask)

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, cut where it is too long."""
        return self._read(texts)[0]

    def feed(self, ids: Sequence[Sequence[int]]) -> dict[str, Any]:
        """``input_ids`` and ``attention_mask``, padded, each (n, longest)."""
        inputs, mask = self._feed(ids)
        return {"input_ids": inputs["input_ids"], "attention_mask": mask}

    def layers(self) -> list[tuple[str, Any]]:
        """The blocks of the network from the first to the last, by name."""
        from torch import nn

        stacks = [(name, module) for name, module in self.encoder.named_modules() if isinstance(module, nn.ModuleList)]
        if not stacks:
            raise UnusableModel(self.name, "it has no stack of layers, so there is nothing to fine-tune. Name another.")
        name, stack = max(stacks, key=lambda found: sum(p.numel() for p in found[1].parameters()))
        return [(f"{name}.{place}", layer) for place, layer in enumerate(stack)]


def usable_cores() -> int:
    """Threads for work of minutes: the cores that this process may use but one, which the annotators' page needs."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, cores - 1)
