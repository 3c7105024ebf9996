"""What was found in texts that were read before: a text never changes, and reading it costs more than what follows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from numpy.typing import NDArray

Read = Callable[[list[str]], Sequence[NDArray[Any]]]

_OWN_BYTES = 200  # what a key and an array's header take


class TextMemo:
    """Arrays that texts were read to, kept for the next who ask; what came first goes first.

    It changes no result. Threads may share one; what two of them ask for at the same time may be read twice.
    """

    def __init__(self, most_bytes: int):
        """Keep at most ``most_bytes`` bytes."""
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[bytes, NDArray[Any]] = {}
        self._changing = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def look_up(self, texts: Sequence[str], read: Read, reader: bytes = b"") -> list[NDArray[Any]]:
        """What ``read`` makes of each text, in their order.

        Args:
            texts: n texts.
            read: Gives an array for each of the texts that are not kept, each text once.
            reader: At most 64 bytes: which way of reading ``read`` is. What another one made is not taken for its.

        >>> import numpy as np
        >>> memo = TextMemo(1_000_000)
        >>> lengths = lambda texts: [np.array([len(text)]) for text in texts]
        >>> [array.tolist() for array in memo.look_up(["four", "six"], lengths)]
        [[4], [3]]
        """
        keys = [_key(text, reader) for text in texts]
        found = {key: kept for key in keys if (kept := self._kept.get(key)) is not None}
        fresh = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        made = dict(zip(fresh, read(list(fresh.values())), strict=True)) if fresh else {}
        self._keep(made)
        found |= made
        return [found[key] for key in keys]

    def _keep(self, made: dict[bytes, NDArray[Any]]) -> None:
        with self._changing:
            for key, array in made.items():
                if key not in self._kept:
                    self._kept[key] = array
                    self._bytes += array.nbytes + _OWN_BYTES
            while self._bytes > self._most and self._kept:
                oldest = next(iter(self._kept))
                self._bytes -= self._kept.pop(oldest).nbytes + _OWN_BYTES


def _key(text: str, reader: bytes) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16, key=reader).digest()
