"""How an encoded image becomes pixels: the same for bundles, students and encoders."""

import io

import numpy as np
import pytest
from PIL import Image

from models import images
from models.images import ImageShape
from models.students.convnet import ConvNetwork
from predictor.images import decode_image, open_image
from tests.models.test_students import generator


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


def palette() -> Image.Image:
    image = Image.fromarray(noise(16, 16) % 4, "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    return image


def sideways() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(noise(16, 16, 3)), exif=exif)


FILES = {
    "grey": encoded(Image.fromarray(noise(16, 16))),
    "colour": encoded(Image.fromarray(noise(16, 16, 3))),
    "transparent": encoded(Image.fromarray(noise(16, 16, 4))),
    "transparent grey": encoded(Image.fromarray(noise(16, 16, 2), "LA")),
    "16-bit grey": encoded(Image.fromarray((np.arange(256, dtype=np.uint16) * 257).reshape(16, 16))),
    "palette": encoded(palette()),
    "palette with a clear colour": encoded(palette(), transparency=2),
    "palette with degrees of clearness": encoded(palette(), transparency=bytes([0, 80, 160, 255])),
    "CMYK": encoded(Image.fromarray(noise(16, 16, 4), "CMYK"), "JPEG"),
    "one bit": encoded(Image.fromarray(noise(16, 16)).convert("1")),
    "sideways": sideways(),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_the_predictor_and_the_encoders_see_the_same_pixels(name, channels):
    seen = images.decode_image(FILES[name], ImageShape(16, channels))
    pixels = decode_image(FILES[name], mode="L" if channels == 1 else "RGB", size=(16, 16))
    assert pixels.shape == (channels, 16, 16)
    assert np.array_equal(np.rint(seen * 255).astype(np.uint8), pixels.transpose(1, 2, 0))
    assert np.ptp(pixels) > 50


def test_what_is_transparent_is_white_by_as_much():
    shades = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [100, 100, 100, 128]]], np.uint8)
    pixels = decode_image(encoded(Image.fromarray(shades)), mode="RGB", size=(1, 4))
    assert pixels[:, 0].T.tolist() == [[255] * 3, [0] * 3, [255] * 3, [177] * 3]


def test_a_clear_colour_of_a_palette_is_white():
    image = Image.fromarray(np.array([[0, 2]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    pixels = decode_image(encoded(image, transparency=2), mode="RGB", size=(1, 2))
    assert pixels[:, 0].T.tolist() == [[255, 0, 0], [255, 255, 255]]


def test_sixteen_bits_are_scaled_and_not_clipped():
    pixels = decode_image(FILES["16-bit grey"], mode="L", size=(16, 16))
    assert pixels.ravel() == pytest.approx(np.arange(256), abs=1)
    assert len(np.unique(pixels)) > 250


def test_sixteen_bits_that_hold_eight_stay_as_they_are():
    shallow = np.arange(256, dtype=np.uint16).reshape(16, 16)
    assert np.array_equal(decode_image(encoded(Image.fromarray(shallow)), mode="L", size=(16, 16))[0], shallow)


def test_the_plans_of_a_student_are_made_from_what_it_will_see():
    # Colour under full transparency is not seen; a photograph taken sideways is as high as it was wide.
    hidden = encoded(Image.new("RGBA", (16, 16), (255, 0, 0, 0)))
    assert ConvNetwork.create([hidden], 2, generator()).mode == "L"
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(noise(10, 20)), exif=exif)
    assert ConvNetwork.create([turned], 2, generator()).size == (20, 10)


@pytest.mark.parametrize("broken", [b"", b"GIF89a", FILES["colour"][:100], b"II*\0" + b"\xff" * 60, b"BM" + b"\0" * 50])
def test_whatever_is_wrong_with_a_file_it_is_named_unreadable(broken):
    with pytest.raises(ValueError, match="not a readable image"):
        open_image(broken)


def test_a_plugin_s_own_exceptions_are_reasons_too(monkeypatch):
    def fail(*_):
        raise IndexError("tile")

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", fail)
    with pytest.raises(ValueError, match=r"not a readable image \(tile\)"):
        open_image(FILES["grey"])


def test_more_pixels_than_are_wanted_are_not_decoded():
    with pytest.raises(ValueError, match="16 × 16 pixels are too many"):
        open_image(FILES["grey"], most_pixels=255)
    assert open_image(FILES["grey"], most_pixels=256).size == (16, 16)
