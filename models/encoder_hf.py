"""Encoders ``hf:NAME``: models of texts or images that the operator registered, run by transformers on torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem, digest_of
from models.errors import UnusableModel
from models.hub import HubModel, check_folder, find_folder, fingerprint

if TYPE_CHECKING:
    from models.hub_networks import Images, Texts


class HubEncoder:
    """Hidden states of a frozen network, pooled to one vector for each item and scaled to length 1.

    ``auto`` pools texts by the mean over their tokens (reimers2019), and images as the model itself does, else by its
    class token, else by the mean over patches. Texts beyond the limit of tokens are cut, and counted.
    """

    version = "1"
    needs_fit = False
    dtype: Literal["float16", "float32"] = "float16"

    def __init__(
        self,
        name: str,
        model: HubModel,
        task: str,
        cache: Path,
        *,
        threads: int | None = None,
        saved: Mapping[str, Any] | None = None,
    ):
        """Files are looked at; the network is loaded at the first use.

        Args:
            name: ``hf:NAME``.
            model: Where it is, and how it is used.
            task: ``text`` or ``image``.
            cache: Where the hash of the files is remembered.
            threads: How many torch may use; all cores when not given.
            saved: What an earlier `details` said: it must be the same still.

        Raises:
            UnusableModel: a file is missing, must not be loaded, or is not what it was.
        """
        self.name, self.task, self._model = name, task, model
        self._threads = threads or os.cpu_count() or 1
        self._folder = find_folder(name, model)
        check_folder(name, self._folder, task)
        self._details = {"task": task, **model.options(), "files_sha256": fingerprint(name, self._folder, cache)}
        if saved and dict(saved) != self._details:
            changed = sorted(key for key in self._details if saved.get(key) != self._details[key])
            raise UnusableModel(
                name,
                f"its {', '.join(changed)} changed since items were encoded with it. Put back what was there, and "
                "register the other one under a name of its own.",
            )

    @property
    def digest(self) -> str:
        """Of the files and the options."""
        return digest_of(self.name, self.version, self._details, {})

    @property
    def dim(self) -> int:
        """The width of the hidden states; loads the network."""
        return self._network.dim

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Nothing to learn: the network is frozen."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Nothing is learned."""
        return {}

    def details(self) -> dict[str, Any]:
        """What determines the output."""
        return dict(self._details)

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of texts or images, (n, dim) float32 with rows of length 1; zero where an item cannot be read.

        Raises:
            UnusableModel: the network cannot be loaded, or cannot be used as it is configured.
        """
        return self._network.encode(items)

    @cached_property
    def _network(self) -> Texts | Images:
        from models.hub_networks import Images, Texts

        kind = Texts if self.task == "text" else Images
        return kind(self.name, self._model, self._folder, self._threads)
