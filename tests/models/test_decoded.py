"""What is remembered of decoded images."""

import io

import numpy as np
import pytest
from PIL import Image

from models import decoded
from models.decoded import DecodedImages
from models.students import convnet
from models.students.convnet import ConvNetwork
from predictor.images import decode_image
from tests.models.small_students import images
from tests.models.test_students import generator


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), level).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def decodings(monkeypatch) -> list[bytes]:
    """The files that were really decoded, in order."""
    seen: list[bytes] = []

    def decode(data, **how):
        seen.append(data)
        return decode_image(data, **how)

    monkeypatch.setattr(decoded, "decode_image", decode)
    return seen


def test_an_image_is_decoded_once_for_each_shape(decodings):
    cache = DecodedImages()
    for _ in range(3):
        assert np.array_equal(cache.get(png(7), mode="L", size=(8, 8)), np.full((1, 8, 8), 7))
    assert cache.get(png(7), mode="RGB", size=(8, 8)).shape == (3, 8, 8)
    assert cache.get(png(7), mode="L", size=(9, 8)).shape == (1, 9, 8)
    assert cache.get(png(8), mode="L", size=(8, 8)).max() == 8
    assert len(decodings) == 4


def test_the_longest_unused_go_first_when_the_memory_is_full(decodings):
    cache = DecodedImages(most_bytes=2 * 64)
    for level in (1, 2, 1, 3):
        cache.get(png(level), mode="L", size=(8, 8))
    decodings.clear()
    for level in (1, 3, 2):
        cache.get(png(level), mode="L", size=(8, 8))
    assert decodings == [png(2)]


def test_an_image_larger_than_the_memory_is_given_and_not_kept(decodings):
    cache = DecodedImages(most_bytes=63)
    for _ in range(2):
        assert cache.get(png(5), mode="L", size=(8, 8)).shape == (1, 8, 8)
    assert len(decodings) == 2


def test_what_is_no_image_is_refused_each_time():
    cache = DecodedImages()
    for _ in range(2):
        with pytest.raises(ValueError, match="not a readable image"):
            cache.get(b"none", mode="L", size=(8, 8))


def test_pixels_that_are_remembered_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        DecodedImages().get(png(1), mode="L", size=(8, 8))[0, 0, 0] = 9


def test_a_student_does_not_decode_its_pool_again(decodings, monkeypatch):
    monkeypatch.setattr(convnet, "_DECODED", DecodedImages())
    items, _ = images(30)
    network = ConvNetwork.create(items, 3, generator())
    first = network.prepare(items).X
    assert sorted(decodings) == sorted(items)
    assert np.array_equal(network.prepare(items).X, first)
    assert len(decodings) == 30
