"""Image files to small arrays of one shape; Pillow is only loaded when one is opened."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.encoders import RawItem
from models.errors import BadInput

if TYPE_CHECKING:
    from PIL import Image

MIN_SIDE, MAX_SIDE = 8, 32
MAX_PIXELS = 40_000_000
_BILINEAR, _BOX = 2, 4
"""Pillow's numbers for the two filters: averaging when an image shrinks."""

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class ImageShape:
    """What images are brought to before anything else: ``side`` × ``side``, grey (1 channel) or colour (3)."""

    side: int
    channels: int

    @property
    def patch(self) -> int:
        """Side of a patch: 6 pixels, less in tiny images, where 6 would leave nothing local."""
        return 6 if self.side >= 20 else 5 if self.side >= 14 else 3


def measure_shape(sample: Sequence[RawItem]) -> ImageShape:
    """Working size (the median image's, in 8 … 32) and channels (grey where no image of the sample has colour).

    Raises:
        BadInput: Not one image of the sample decodes.
    """
    sides, coloured = [], False
    for item in sample:
        image = open_rgb(item)
        if image is None:
            continue
        sides.append(np.sqrt(image.width * image.height))
        if not coloured:
            small = np.asarray(image.resize((MIN_SIDE, MIN_SIDE)), dtype=np.int16)
            coloured = bool(np.abs(small - small.mean(axis=2, keepdims=True)).max() > 4)
    if not sides:
        raise BadInput("Not one of the images can be decoded: an encoder cannot be fitted on none.")
    return ImageShape(int(np.clip(round(float(np.median(sides))), MIN_SIDE, MAX_SIDE)), 3 if coloured else 1)


def decode_image(item: RawItem, shape: ImageShape) -> FloatArray | None:
    """Pixels in 0 … 1, (side, side, channels); None for what is no image, or has more than 40 million pixels."""
    image = open_rgb(item)
    if image is None:
        return None
    image = image if shape.channels == 3 else image.convert("L")
    if image.size != (shape.side, shape.side):
        image = image.resize((shape.side, shape.side), resample=_BOX if min(image.size) > shape.side else _BILINEAR)
    pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    return pixels.reshape(shape.side, shape.side, shape.channels)


def open_rgb(item: RawItem) -> Image.Image | None:
    """The image in RGB, read as the predictor reads it; None where Pillow gives up, or it has too many pixels."""
    from predictor.images import open_image

    if not isinstance(item, bytes):
        return None
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd files; they were let in, and are read as well as can be.
            warnings.simplefilter("ignore")
            return open_image(item, most_pixels=MAX_PIXELS)
    except ValueError:
        return None
