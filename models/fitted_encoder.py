"""What encoders that learn from their pool have in common: a state, and that it says which encoder they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from models.encoders import digest_of
from models.errors import NotFitted


class FittedEncoder(ABC):
    """An encoder with arrays that `fit` makes; whoever changes them sets ``_digest`` to None."""

    name: str
    version: str

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None = None):
        """A fresh one, or with ``arrays`` the one whose `state` they are."""
        self._arrays: dict[str, NDArray[Any]] = dict(arrays or {})
        self._digest: str | None = None

    @property
    def needs_fit(self) -> bool:
        """True until there is a state."""
        return not self._arrays

    @property
    def digest(self) -> str:
        """Of the state: two pools give two encoders.

        Raises:
            NotFitted: There is no state yet.
        """
        self._require_state()
        if self._digest is None:
            self._digest = digest_of(self.name, self.version, self.details(), self._arrays)
        return self._digest

    @abstractmethod
    def details(self) -> dict[str, Any]:
        """The configuration, as JSON can hold it."""

    def _require_state(self) -> None:
        if not self._arrays:
            raise NotFitted(f"The encoder '{self.name}'")
