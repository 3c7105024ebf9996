import io

import numpy as np
import pytest
from PIL import Image

from models.encoder_patches import PatchesEncoder
from models.errors import BadInput
from models.evaluate import accuracy
from models.images import ImageShape, decode_image, measure_shape
from models.regularisation import deal_folds
from models.teachers import LogisticTeacher


def encoded_as(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(width, height, mode="L", seed=0):
    rng = np.random.default_rng(seed)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    return Image.fromarray(rng.integers(0, 256, size=(height, width, *channels), dtype=np.uint8))


def digits():
    from sklearn.datasets import load_digits

    data = load_digits()
    return [encoded_as(Image.fromarray((image * 255 / 16).astype(np.uint8))) for image in data.images], data.target


def test_handwritten_digits_are_told_apart_at_ninety_seven_percent():
    images, y = digits()
    encoder = PatchesEncoder()
    encoder.fit(images, np.random.default_rng(0))
    X = encoder.encode(images).features
    folds = deal_folds(y, None, np.random.default_rng(1))
    predicted = np.empty_like(y)
    for fold in range(5):
        train = folds != fold
        teacher = LogisticTeacher.fit(X[train], y[train], 10, rng=np.random.default_rng(0), C=30.0)
        predicted[~train] = teacher.predict_proba(X[~train]).argmax(axis=1)
    assert accuracy(y, predicted) >= 0.985
    assert encoder.details() == {"side": 8, "channels": 1, "patch": 3}
    assert np.linalg.norm(X, axis=1) == pytest.approx(np.ones(len(X)), abs=1e-4)


@pytest.mark.parametrize(("size", "side"), [((8, 8), 8), ((28, 28), 28), ((20, 45), 30), ((640, 480), 32), ((3, 2), 8)])
def test_the_working_size_is_that_of_the_median_image_within_bounds(size, side):
    assert measure_shape([encoded_as(picture(*size))] * 3) == ImageShape(side, 1)


def test_colour_is_kept_where_an_image_of_the_pool_has_some():
    grey = encoded_as(picture(10, 10).convert("RGB"))
    assert measure_shape([grey, grey]).channels == 1
    assert measure_shape([grey, encoded_as(picture(10, 10, "RGB"))]).channels == 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_common_formats_come_out_in_one_shape(kind, channels):
    pixels = decode_image(encoded_as(picture(30, 20, "RGB").convert("L"), kind), ImageShape(16, channels))
    assert pixels.shape == (16, 16, channels)
    assert pixels.dtype == np.float32
    assert 0 <= pixels.min() < pixels.max() <= 1


def test_pixels_of_an_image_of_the_right_size_stay_as_they_are():
    image = picture(9, 9)
    assert decode_image(encoded_as(image), ImageShape(9, 1))[..., 0] * 255 == pytest.approx(np.asarray(image), abs=1e-4)


def test_sixteen_bits_are_scaled_and_not_clipped():
    wide = Image.fromarray((np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8))
    pixels = decode_image(encoded_as(wide), ImageShape(8, 1)).ravel()
    assert pixels == pytest.approx(np.arange(64) * 1000 / 65_535, abs=1 / 255)


def test_a_photograph_taken_sideways_is_put_upright():
    image = picture(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = decode_image(encoded_as(image, exif=exif), ImageShape(8, 1))[..., 0] * 255
    assert turned == pytest.approx(np.rot90(np.asarray(image), k=-1), abs=1e-4)


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert (decode_image(encoded_as(clear), ImageShape(8, 1)) == 1).all()


@pytest.mark.parametrize("broken", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"<svg/>", "a text", None])
def test_what_does_not_decode_is_none(broken):
    assert decode_image(broken, ImageShape(8, 1)) is None


def test_a_truncated_image_is_a_zero_row_and_counted():
    whole = encoded_as(picture(30, 30))
    encoder = PatchesEncoder()
    encoder.fit([encoded_as(picture(30, 30, seed=i)) for i in range(12)], np.random.default_rng(0))
    encoded = encoder.encode([whole, whole[: len(whole) // 2], whole])
    assert encoded.n_failed == 1
    assert not encoded.features[1].any()
    # Not bit for bit: some BLAS sum the last rows of a matrix in another order.
    np.testing.assert_allclose(encoded.features[0], encoded.features[2], rtol=0, atol=1e-5)


def test_more_pixels_than_allowed_are_not_decoded(monkeypatch):
    monkeypatch.setattr("models.images.MAX_PIXELS", 99)
    assert decode_image(encoded_as(picture(10, 10)), ImageShape(8, 1)) is None


def test_a_pool_without_a_single_image_cannot_be_learned_from():
    with pytest.raises(BadInput, match="decoded"):
        PatchesEncoder().fit([b"no", b"image"], np.random.default_rng(0))


def test_a_pool_of_blank_images_gives_finite_rows():
    blank = encoded_as(Image.new("L", (12, 12), 255))
    encoder = PatchesEncoder()
    encoder.fit([blank] * 20, np.random.default_rng(0))
    assert np.isfinite(encoder.encode([blank, encoded_as(picture(12, 12))]).features).all()
