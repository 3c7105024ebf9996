"""Bytes that a worker shares with all processes that it forks: nothing to lock, nothing that a killed process keeps."""

from __future__ import annotations

import mmap


class Flag:
    """Raised once: has the worker been told to stop?"""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def set(self) -> None:
        """Tell everybody."""
        self._byte[0] = 1

    def __call__(self) -> bool:
        """Whether it was set."""
        return self._byte[0] == 1


class Bell:
    """Rung again and again: who remembers its count knows whether it rang since."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def ring(self) -> None:
        """Call everybody who waits."""
        self._byte[0] = (self._byte[0] + 1) % 256

    def __call__(self) -> int:
        """The count."""
        return self._byte[0]
