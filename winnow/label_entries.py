"""One entry of a label request: what it may be, and what makes two of them the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from winnow.errors import NotFound
from winnow.ids import parse_id

MAX_FLAG_CHARS = 1000
MAX_REQUEST_ID_CHARS = 200
_MAX_SECONDS = 1e9


class EntryError(Exception):
    """An entry that is rejected; ``reason`` says why, and what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Entry:
    """An entry of the right shape. ``kind`` is label, skip or flag; ``reason`` is the flag's.

    ``value`` is what was given as the class; whether the project has it is another question, for classes come and go.
    """

    item_id: int
    kind: str
    value: str | None
    reason: str | None
    lease_id: int | None
    seconds: float | None
    request_id: str | None

    @property
    def body_digest(self) -> str:
        """What two entries under one ``request_id`` must share to be the same."""
        body = [self.item_id, self.kind, self.value, self.reason, self.lease_id, self.seconds]
        return sha256(json.dumps(body).encode()).hexdigest()


def read_entry(raw: Any) -> Entry:
    """Check the shape of one entry as it came.

    Raises:
        EntryError: it cannot be used in any project.
    """
    if not isinstance(raw, Mapping):
        raise EntryError("An entry must be an object with an item and a label, skip or flag.")
    item_id = _item_id(raw.get("item"))
    kind, value, reason = _answer(raw)
    return Entry(
        item_id=item_id,
        kind=kind,
        value=value,
        reason=reason,
        lease_id=_lease_id(raw.get("lease")),
        seconds=_seconds(raw.get("seconds")),
        request_id=_request_id(raw.get("request_id")),
    )


def foreign_item(item: object) -> str:
    """The reason for an item that is not one of the project's."""
    return f"There is no item {str(item)[:40]!r} in this project."


def foreign_lease(lease: object) -> str:
    """The reason for a lease that is not the caller's on this item."""
    return f"Lease {str(lease)[:40]!r} is not yours for this item; leave it out, or ask for a batch."


def _item_id(item: object) -> int:
    try:
        return parse_id(str(item), "item")
    except NotFound:
        raise EntryError(foreign_item(item)) from None


def _lease_id(lease: object) -> int | None:
    if lease is None:
        return None
    try:
        return parse_id(str(lease), "lease")
    except NotFound:
        raise EntryError(foreign_lease(lease)) from None


def _answer(raw: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    skip = raw.get("skip")
    if skip is not None and not isinstance(skip, bool):
        raise EntryError("skip must be true or left out.")
    given = [name for name in ("label", "labels", "flag") if raw.get(name) is not None] + ["skip"] * bool(skip)
    if len(given) != 1:
        found = f"this entry has {' and '.join(given)}" if given else "this entry has none"
        raise EntryError(f"Give exactly one of label, labels, skip and flag; {found}.")
    if given == ["skip"]:
        return "skip", None, None
    if given == ["flag"]:
        return "flag", None, _flag(raw["flag"])
    label = raw.get("label")
    if given == ["labels"]:
        several = raw["labels"]
        if not isinstance(several, list) or len(several) != 1:
            raise EntryError("This project takes one label for each item; labels must hold exactly one.")
        label = several[0]
    if not isinstance(label, str):
        raise EntryError("label must be a string.")
    return "label", label, None


def _flag(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_FLAG_CHARS:
        raise EntryError(f"flag must say why, in 1 to {MAX_FLAG_CHARS:,} characters.")
    if "\0" in value or (not value.isascii() and not _encodes(value)):
        raise EntryError("flag has characters that are not valid Unicode text.")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise EntryError("seconds must be a number.")
    if not 0 <= value <= _MAX_SECONDS:  # false for NaN, and for an integer beyond every float
        raise EntryError("seconds must be a number from 0 up.")
    return float(value)


def _request_id(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_REQUEST_ID_CHARS or not value.isprintable():
        raise EntryError(f"request_id must be a string of 1 to {MAX_REQUEST_ID_CHARS} printable characters.")
    return value


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
