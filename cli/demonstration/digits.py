"""The handwritten digits that come with scikit-learn, as image files."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_TEST = 500
CLASSES = [str(digit) for digit in range(10)]
_SCALE = 255 / 16  # the set's pixels go from 0 to 16


@dataclass(frozen=True)
class Digits:
    """Images as PNG bytes with their classes: a pool, and a test set that nobody is asked about."""

    pool: list[bytes]
    pool_classes: list[str]
    test: list[bytes]
    test_classes: list[str]

    def class_of(self, key: str) -> str:
        """The class of the pool's image with this key."""
        return self.pool_classes[int(key.removeprefix("pool-"))]

    def as_jsonl(self) -> bytes:
        """A file to import: the pool without labels, the test set with them."""
        rows = [
            {"key": f"pool-{n}", "image": base64.b64encode(image).decode()} for n, image in enumerate(self.pool)
        ] + [
            {"key": f"test-{n}", "image": base64.b64encode(image).decode(), "label": label, "split": "test"}
            for n, (image, label) in enumerate(zip(self.test, self.test_classes, strict=True))
        ]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()


def load(rng: np.random.Generator) -> Digits:
    """The 1,797 digits, split at random into a pool and ``N_TEST`` test images."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = rng.permutation(len(found.target))
    images = [_png(found.images[row]) for row in order]
    classes = [CLASSES[found.target[row]] for row in order]
    return Digits(images[N_TEST:], classes[N_TEST:], images[:N_TEST], classes[:N_TEST])


def _png(pixels: NDArray[np.float64]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.round(pixels * _SCALE).astype(np.uint8), "L").save(out, "PNG")
    return out.getvalue()
