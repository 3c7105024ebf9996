"""From a row of a file or a request to an item that may be added: every rule about what a row must be."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any, Literal, Protocol

from winnow.images import check_image
from winnow.settings import Settings

MAX_KEY_CHARS = 512
MAX_META_BYTES = 16 << 10
#: Answers cannot be written for ever deeper ones (pydantic ends at 255 levels), so none are taken.
MAX_META_LEVELS = 100
FIELDS = ("key", "text", "image", "features", "label", "labels", "split", "meta")
CONTENT_OF_TASK = {"text": "text", "image": "image", "features": "features"}
FEATURES_TYPE = "application/x-float32"
NO_TEST_LABEL = "A row of the test split needs a label; give one, or leave split out."

LabelUse = Literal["use", "ignore"]
OnDuplicate = Literal["skip", "update", "merge_labels"]

_SPLITS = {"": "pool", "train": "pool", "pool": "pool", "test": "test"}
_WORD = re.compile(r"[^\W_]+")


class RowError(Exception):
    """A row that cannot be used; ``reason`` is a short sentence that says what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProjectShape(Protocol):
    """What a row is checked against."""

    task: str
    labels: list[Any]
    feature_dim: int | None


@dataclass(slots=True)
class ItemDraft:
    """An item that has passed its checks. ``content`` is an image's bytes or a little-endian float32 vector.

    ``digest`` identifies the content, ``group_digest`` its near-duplicates. ``split`` is pool or test.
    """

    key: str | None
    text: str | None
    content: bytes | None
    media_type: str | None
    dim: int | None
    digest: str
    group_digest: str
    label: str | None
    split: str
    meta: dict[str, Any] | None


class RowReader:
    """Turns rows into drafts for one project; make one and use it for many rows.

    With ``labels="ignore"`` labels are not looked at, not even for being a class.
    """

    def __init__(self, project: ProjectShape, settings: Settings, labels: LabelUse = "use") -> None:
        self._use_labels = labels == "use"
        self._content_field = CONTENT_OF_TASK[project.task]
        self._classes = [str(label["name"]) for label in project.labels]
        self._class_set = frozenset(self._classes)
        self._dim = project.feature_dim
        self._settings = settings

    @property
    def classes(self) -> list[str]:
        """The class names of the project, in order."""
        return self._classes

    def draft(self, row: Mapping[str, Any]) -> ItemDraft:
        """Check one row. ``image`` may be base64 text or bytes.

        Raises:
            RowError: with the reason.
        """
        given = [name for name in ("text", "image", "features") if row.get(name) is not None]
        wanted = self._content_field
        if given != [wanted]:
            found = f"this row has {' and '.join(given)}" if given else "this row has none"
            raise RowError(f"Give exactly one of text, image and features, here {wanted}; {found}.")
        text, content, media_type, dim = None, None, None, None
        if wanted == "text":
            text = self._text(row["text"])
            digest = sha256(b"text\0" + text.encode()).hexdigest()
            group_digest = sha256(b"near\0" + fold_text(text).encode()).hexdigest()
        else:
            if wanted == "image":
                content, media_type = self._image(row["image"])
            else:
                content, media_type = self._features(row["features"]), FEATURES_TYPE
                dim = len(content) // 4
            digest = group_digest = sha256(wanted.encode() + b"\0" + content).hexdigest()
        label = self._label(row) if self._use_labels else None
        split = _split(row.get("split"))
        if split == "test" and label is None:
            raise RowError(NO_TEST_LABEL)
        meta = row.get("meta")
        return ItemDraft(
            key=check_key(row.get("key")),
            text=text,
            content=content,
            media_type=media_type,
            dim=dim,
            digest=digest,
            group_digest=group_digest,
            label=label,
            split=split,
            meta=None if meta is None else check_meta(meta),
        )

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise RowError("text must be a string.")
        if len(value) > self._settings.max_text_chars:
            raise RowError(
                f"text has {len(value):,} characters; at most {self._settings.max_text_chars:,} are allowed."
            )
        if not value.strip():
            raise RowError("text is empty; give at least one visible character.")
        _check_unicode(value, "text")
        return value

    def _image(self, value: object) -> tuple[bytes, str]:
        limit = self._settings.max_image_bytes
        too_large = RowError(f"The image is larger than {limit:,} bytes; make it smaller.")
        if isinstance(value, str):
            if value.startswith("data:"):
                value = value.partition(",")[2]
            if len(value) > limit // 3 * 4 + 8:
                raise too_large
            try:
                data = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise RowError("image must be base64 of an image file; paths and addresses are not followed.") from None
        elif isinstance(value, bytes):
            data = value
        else:
            raise RowError("image must be a base64 string.")
        if len(data) > limit:
            raise too_large
        if not data:
            raise RowError("The image is empty.")
        try:
            return data, check_image(data, max_pixels=self._settings.max_image_pixels)
        except ValueError as error:
            raise RowError(f"The image cannot be used: {error}.") from None

    def _features(self, value: object) -> bytes:
        if isinstance(value, bytes):
            data = value
            values = array("f")
            values.frombytes(data)
        else:
            if not isinstance(value, list) or not value:
                raise RowError("features must be a list of numbers.")
            if len(value) > self._settings.max_feature_dim:
                raise RowError(f"features has {len(value):,} numbers; at most {self._settings.max_feature_dim:,} fit.")
            if not all(type(x) in (int, float) for x in value):
                raise RowError("features must hold numbers only.")
            try:
                values = array("f", value)
            except OverflowError:
                raise RowError("features must be finite numbers that fit 32-bit floats.") from None
        if not 0 < len(values) <= self._settings.max_feature_dim:
            raise RowError(f"features must have 1 to {self._settings.max_feature_dim:,} numbers.")
        if self._dim is not None and len(values) != self._dim:
            raise RowError(f"features has {len(values)} numbers; the items of this project have {self._dim}.")
        if not all(map(math.isfinite, values)):
            raise RowError("features must be finite numbers that fit 32-bit floats.")
        if sys.byteorder == "big":
            values.byteswap()
        return values.tobytes()

    def _label(self, row: Mapping[str, Any]) -> str | None:
        label = row.get("label")
        several = row.get("labels")
        if several is not None:
            if label is not None:
                raise RowError("Give label or labels, not both.")
            if not isinstance(several, list):
                raise RowError("labels must be a list.")
            if len(several) > 1:
                raise RowError(f"This project takes one label for each item; labels has {len(several)}.")
            label = several[0] if several else None
        return None if label is None else self.check_label(label)

    def check_label(self, label: object) -> str:
        """The class that ``label`` names; a whole number is read as a name made of digits.

        Raises:
            RowError: it is no class of the project; the reason names it and the classes.
        """
        if isinstance(label, int) and not isinstance(label, bool):
            label = str(label)
        if not isinstance(label, str):
            raise RowError("label must be a string.")
        if label not in self._class_set:
            raise RowError(unknown_class(label, self._classes))
        return label


def draft_from_row(project: ProjectShape, raw: Mapping[str, Any], settings: Settings) -> ItemDraft:
    """Check one row of ``project``; for many rows make a :class:`RowReader` once. Raises RowError."""
    return RowReader(project, settings).draft(raw)


def unknown_class(label: str, classes: list[str]) -> str:
    """The reason for a label that is no class: names it and the classes, both cut to a readable length."""
    names = ", ".join(repr(name) for name in classes[:20])
    more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
    return f"{_short(label)} is not a class of this project; the classes are {names}{more}."


def check_key(value: object) -> str | None:
    """The key of a row, None when there is none. Raises RowError for one that cannot be a key."""
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise RowError("key must be a string.")
    if not value:
        return None
    if len(value) > MAX_KEY_CHARS or not value.isprintable():
        raise RowError(f"key must have at most {MAX_KEY_CHARS} characters, all of them printable.")
    return value


def check_meta(value: object) -> dict[str, Any]:
    """The meta object of a row. Raises RowError if it is no object, too large, or not plain JSON."""
    if not isinstance(value, dict):
        raise RowError("meta must be an object.")
    try:
        encoded = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise RowError("meta has characters that are not valid Unicode.") from None
    except (ValueError, TypeError, RecursionError):
        raise RowError("meta must be plain JSON without NaN, infinity or very deep nesting.") from None
    if len(encoded) > MAX_META_BYTES:
        raise RowError(f"meta has {len(encoded):,} bytes; at most {MAX_META_BYTES:,} are allowed.")
    if _is_deep(value):
        raise RowError(f"meta is nested too deeply; at most {MAX_META_LEVELS} levels are allowed.")
    if b"\\u0000" in encoded and _has_nul(value):
        raise RowError("meta must not contain the character U+0000.")
    return value


def fold_text(text: str) -> str:
    """What near-duplicates have in common: lower case, punctuation and white space as one blank.

    >>> fold_text("Order #12,  please!")
    'order 12 please'
    """
    lowered = text.lower()
    return " ".join(_WORD.findall(lowered)) or lowered


def keyed_hash(key: bytes, purpose: bytes, name: str) -> int:
    """63 bits that are always the same for ``name`` and unpredictable without the project's ``key``."""
    digest = blake2b(name.encode(), key=key, person=purpose, digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _split(value: object) -> str:
    if value is None:
        return "pool"
    if not isinstance(value, str) or value.strip().lower() not in _SPLITS:
        raise RowError("split must be train, pool or test.")
    return _SPLITS[value.strip().lower()]


def _check_unicode(value: str, name: str) -> None:
    if "\0" in value:
        raise RowError(f"{name} must not contain the character U+0000.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError(f"{name} has characters that are not valid Unicode.") from None


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_META_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_has_nul(k) or _has_nul(v) for k, v in value.items())
    return isinstance(value, list) and any(map(_has_nul, value))


def _short(value: str) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "…'"
