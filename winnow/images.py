"""Images as they come in: known formats only, limits before anything is decoded."""

from __future__ import annotations

from io import BytesIO

_MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")


def check_image(data: bytes, *, max_pixels: int) -> str:
    """The media type of an image that decodes completely.

    The size in the header is checked before a pixel is decoded, so that a small file cannot unfold into a large one.

    Raises:
        ValueError: not an image of a known format, more than ``max_pixels``, or cut off or damaged.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not a PNG, JPEG, GIF, WebP, BMP or TIFF image") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"more than {max_pixels:,} pixels; make the image smaller") from None
    except Exception:
        raise ValueError("the image is cut off or damaged") from None
    with image:
        width, height = image.size
        if width * height > max_pixels:
            raise ValueError(f"{width} × {height} is more than {max_pixels:,} pixels; make the image smaller")
        try:
            image.load()
        except Exception:
            raise ValueError("the image is cut off or damaged") from None
        return _MEDIA_TYPES[str(image.format)]
