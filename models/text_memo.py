"""What was found in texts that were read before: a text never changes, and reading it costs more than what follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from numpy.typing import NDArray

Read = Callable[[list[str]], Sequence[NDArray[Any]]]

_OWN_BYTES = 250  # what a key, its text's header and an array's take


class TextMemo:
    """Arrays that texts were read to, kept for the next who ask; what came first goes first.

    It changes no result. Threads may share one; what two of them ask for at the same time may be read twice.
    """

    def __init__(self, most_bytes: int):
        """Keep at most ``most_bytes`` bytes, texts included."""
        self._most = most_bytes
        self._bytes = 0
        self._kept: dict[tuple[str, str], NDArray[Any]] = {}
        self._changing = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def look_up(self, texts: Sequence[str], read: Read, reader: str = "") -> list[NDArray[Any]]:
        """What ``read`` makes of each text, in their order.

        Args:
            texts: n texts.
            read: Gives an array for each of the texts that are not kept, each text once.
            reader: Which way of reading ``read`` is. What another one made is not taken for its.

        >>> import numpy as np
        >>> memo = TextMemo(1_000_000)
        >>> lengths = lambda texts: [np.array([len(text)]) for text in texts]
        >>> [array.tolist() for array in memo.look_up(["four", "six"], lengths)]
        [[4], [3]]
        """
        found = [self._kept.get((reader, text)) for text in texts]
        fresh = list(dict.fromkeys(text for text, kept in zip(texts, found, strict=True) if kept is None))
        if not fresh:
            return [kept for kept in found if kept is not None]
        made = dict(zip(fresh, read(fresh), strict=True))
        self._keep(made, reader)
        return [made[text] if kept is None else kept for text, kept in zip(texts, found, strict=True)]

    def _keep(self, made: dict[str, NDArray[Any]], reader: str) -> None:
        with self._changing:
            for text, array in made.items():
                if (reader, text) not in self._kept:
                    self._kept[reader, text] = array
                    self._bytes += _bytes(text, array)
            while self._bytes > self._most and self._kept:
                oldest = next(iter(self._kept))
                self._bytes -= _bytes(oldest[1], self._kept.pop(oldest))


def _bytes(text: str, array: NDArray[Any]) -> int:
    return (len(text) if text.isascii() else 2 * len(text)) + array.nbytes + _OWN_BYTES
