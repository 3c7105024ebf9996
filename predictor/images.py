"""Encoded images, as pixels in standard units."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image


def open_image(data: bytes, *, most_pixels: float = float("inf")) -> Image.Image:
    """An encoded image in RGB: upright, transparency on white, sixteen and more bits a pixel brought to eight.

    Raises ValueError where the bytes are no image that pillow can read, or one of more pixels than ``most_pixels``.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(data)) as opened:
            if opened.width * opened.height > most_pixels:
                raise ValueError(f"{opened.width} × {opened.height} pixels are too many")
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16") or image.mode in ("I", "F"):
                image = _scaled(image)
            elif image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            return image.convert("RGB")
    except Exception as error:  # pillow's plugins raise whatever they come upon on broken files
        raise ValueError(f"not a readable image ({error})") from error


def _scaled(image: Image.Image) -> Image.Image:
    """Eight bits a pixel: pillow's own conversion would clip what is above 255 to white."""
    from PIL import Image

    pixels = np.asarray(image, np.float64)
    top = 65_535 if pixels.max() > 255 else 255
    return Image.fromarray(np.clip(pixels * (255 / top), 0, 255).astype(np.uint8))


def decode_image(data: bytes, *, mode: str, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """The pixels of an encoded image as uint8 (channels, height, width), scaled to ``size`` (height, width).

    Raises ValueError where the bytes are no image that pillow can read.
    """
    image = open_image(data).convert(mode)
    if image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), 2, reducing_gap=2.0)  # 2: bilinear
    pixels = np.asarray(image, np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def normalise(pixels: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """Pixels (n, c, h, w) in 0..255 → float32 in standard units of each channel."""
    scale = (1.0 / (255.0 * np.asarray(std, np.float64))).astype(np.float32)[:, None, None]
    shift = (np.asarray(mean, np.float64) / np.asarray(std, np.float64)).astype(np.float32)[:, None, None]
    return pixels.astype(np.float32) * scale - shift
