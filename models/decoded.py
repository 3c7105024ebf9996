"""Images that were decoded lately: a round reads the same ones several times, and the next round reads them again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from predictor.images import decode_image

MOST_BYTES = 64 << 20  # 20,000 images of 28 × 28 in colour, with room to spare


class DecodedImages:
    """Remembers pixels by what the file holds, at most ``most_bytes`` of them; the longest unused goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES):
        self._most, self._held = most_bytes, 0
        self._pixels: OrderedDict[tuple[bytes, str, tuple[int, int]], NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()

    def get(self, data: bytes, *, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
        """What `predictor.runtime.decode_image` gives, to be read only; raises ValueError as it does."""
        key = (hashlib.blake2b(data, digest_size=16).digest(), mode, size)
        with self._lock:
            if key in self._pixels:
                self._pixels.move_to_end(key)
                return self._pixels[key]
        # A copy: what is decoded may be a view of Pillow's own memory.
        pixels = decode_image(data, mode=mode, size=size).copy()
        pixels.flags.writeable = False
        with self._lock:
            if key not in self._pixels:
                self._pixels[key] = pixels
                self._held += pixels.nbytes
            while self._held > self._most:
                self._held -= self._pixels.popitem(last=False)[1].nbytes
        return pixels
