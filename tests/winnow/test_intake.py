"""What a row must be, and what is said of one that is not."""

from __future__ import annotations

import base64
import io
import math
import struct
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from winnow.intake import ItemDraft, RowError, RowReader, draft_from_row, fold_text, keyed_hash
from winnow.settings import Settings

CLASSES = [{"name": "spam"}, {"name": "ham"}, {"name": "3"}]


def draft(row: dict[str, Any], task: str = "text", dim: int | None = None, **settings: Any) -> ItemDraft:
    project = SimpleNamespace(task=task, labels=CLASSES, feature_dim=dim)
    return draft_from_row(project, row, Settings(**settings))


def refuse(row: dict[str, Any], task: str = "text", **options: Any) -> str:
    with pytest.raises(RowError) as caught:
        draft(row, task, **options)
    assert caught.value.reason.endswith(".")
    return caught.value.reason


def image(kind: str = "PNG", size: tuple[int, int] = (4, 3)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(out, kind)
    return out.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_text_is_kept_as_it_is() -> None:
    made = draft({"text": "  Héllo\n", "key": "a 1", "meta": {"from": "x"}, "label": "ham", "split": "train"})
    assert (made.text, made.key, made.meta, made.label, made.split) == (
        "  Héllo\n",
        "a 1",
        {"from": "x"},
        "ham",
        "pool",
    )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({}, "this row has none"),
        ({"text": None}, "this row has none"),
        ({"text": "a", "features": [1]}, "this row has text and features"),
        ({"features": [1.0]}, "here text; this row has features"),
        ({"text": " \n"}, "empty"),
        ({"text": 3}, "must be a string"),
        ({"text": "a\0b"}, "U+0000"),
        ({"text": "\ud800"}, "Unicode"),
        ({"text": "x" * 11}, "at most 10"),
        ({"text": "a", "key": "x" * 513}, "512"),
        ({"text": "a", "key": "x\ny"}, "printable"),
        ({"text": "a", "key": ["x"]}, "key must be a string"),
        ({"text": "a", "meta": [1]}, "meta must be an object"),
        ({"text": "a", "meta": {"x": "y" * 20_000}}, "16,384"),
        ({"text": "a", "meta": {"x": math.nan}}, "NaN"),
        ({"text": "a", "meta": {"x": ["\0"]}}, "U+0000"),
        ({"text": "a", "meta": {"x": "\udfff"}}, "Unicode"),
        ({"text": "a", "label": "eggs"}, "'eggs' is not a class of this project; the classes are 'spam', 'ham', '3'"),
        ({"text": "a", "label": True}, "label must be a string"),
        ({"text": "a", "label": "spam", "labels": ["spam"]}, "not both"),
        ({"text": "a", "labels": ["spam", "ham"]}, "one label for each item; labels has 2"),
        ({"text": "a", "labels": "spam"}, "labels must be a list"),
        ({"text": "a", "split": "dev"}, "train, pool or test"),
        ({"text": "a", "split": "test"}, "needs a label"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(row: dict[str, Any], says: str) -> None:
    assert says in refuse(row, max_text_chars=10)


def test_a_number_and_a_list_of_one_are_labels_too() -> None:
    assert draft({"text": "a", "label": 3}).label == "3"
    assert draft({"text": "a", "labels": ["ham"]}).label == "ham"
    assert draft({"text": "a", "labels": []}).label is None


def test_ignored_labels_are_not_looked_at() -> None:
    reader = RowReader(SimpleNamespace(task="text", labels=CLASSES, feature_dim=None), Settings(), "ignore")
    assert reader.draft({"text": "a", "label": "eggs"}).label is None
    with pytest.raises(RowError, match="needs a label"):
        reader.draft({"text": "a", "label": "spam", "split": "test"})


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("PNG", "image/png"),
        ("JPEG", "image/jpeg"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
    ],
)
def test_images_of_known_formats_are_kept_byte_for_byte(kind: str, media_type: str) -> None:
    made = draft({"image": b64(image(kind))}, "image")
    assert (made.content, made.media_type) == (image(kind), media_type)


def test_a_data_address_is_read_and_never_followed() -> None:
    assert draft({"image": f"data:image/png;base64,{b64(image())}"}, "image").content == image()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("/etc/passwd", "paths and addresses are not followed"),
        ("http://example.org/a.png", "paths and addresses are not followed"),
        (b64(b"MZ not an image"), "not a PNG"),
        (b64(image("JPEG", (64, 64))[:-200]), "cut off or damaged"),
        (b64(image("PNG", (64, 64))[:-30]), "cut off or damaged"),
        ("", "empty"),
        (7, "base64 string"),
        (b64(b"x" * 5000), "larger than 4,000 bytes"),
    ],
)
def test_an_image_that_cannot_be_used_says_why(given: Any, says: str) -> None:
    assert says in refuse({"image": given}, "image", max_image_bytes=4000)


def test_the_size_of_an_image_is_checked_before_it_is_decoded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"nothing to decode") + chunk(b"IEND", b"")
    assert "pixels" in refuse({"image": b64(bomb)}, "image")
    assert "12 is more than 100 pixels" in refuse({"image": b64(image(size=(12, 12)))}, "image", max_image_pixels=100)


def test_features_are_little_endian_float32() -> None:
    made = draft({"features": [0.5, -1.25, 3]}, "features")
    assert (made.content, made.dim) == (struct.pack("<3f", 0.5, -1.25, 3), 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "list of numbers"),
        ("1,2", "list of numbers"),
        ([1, "2"], "numbers only"),
        ([1, True], "numbers only"),
        ([math.inf, 1], "finite"),
        ([math.nan, 1], "finite"),
        ([1e39, 1], "finite"),
        ([10**400, 1], "finite"),
        ([1, 2, 3], "has 3 numbers; the items of this project have 2"),
        ([1] * 9, "at most 8"),
    ],
)
def test_features_that_cannot_be_used_say_why(given: Any, says: str) -> None:
    assert says in refuse({"features": given}, "features", dim=2, max_feature_dim=8)


def test_the_digest_is_of_the_kind_and_the_content() -> None:
    assert draft({"text": "a"}).digest == draft({"text": "a", "key": "k"}).digest
    assert draft({"text": "a"}).digest != draft({"text": "A"}).digest


def test_near_duplicates_share_their_group() -> None:
    group = draft({"text": "Order #12,  please!"}).group_digest
    assert draft({"text": "order 12 please"}).group_digest == group
    assert draft({"text": "order 123 please"}).group_digest != group
    assert fold_text("?!") != fold_text("…")


def test_the_keyed_hash_depends_on_key_purpose_and_group() -> None:
    hashes = {keyed_hash(k, p, g) for k in (b"k", b"l") for p in (b"order", b"holdout") for g in ("a", "b")}
    assert len(hashes) == 8
    assert all(0 <= value < 2**63 for value in hashes)
