"""The classes of a project: names, hotkeys and colours, completed and checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from winnow.errors import FieldError, Invalid
from winnow.names import check_name, check_text

MOST_CLASSES = 1_000
LONGEST_DESCRIPTION = 2_000
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class LabelClass(TypedDict):
    """One class. ``hotkey`` is one character; the first classes without one get what is free of 1 to 9."""

    name: str
    description: str
    hotkey: str | None
    color: str | None


def complete_classes(given: Sequence[str | Mapping[str, Any]]) -> list[LabelClass]:
    """The classes in their order, each complete.

    Raises:
        Invalid: a name is no name or comes twice, or a hotkey or colour cannot be one; ``errors`` says which.
    """
    errors: list[FieldError] = []
    if not 1 <= len(given) <= MOST_CLASSES:
        errors.append(FieldError(("body", "labels"), f"must hold 1 to {MOST_CLASSES:,} classes"))
        raise Invalid(f"labels must hold 1 to {MOST_CLASSES:,} classes.", errors=errors)
    classes: list[LabelClass] = []
    names: set[str] = set()
    hotkeys: set[str] = set()
    for position, entry in enumerate(given):
        try:
            complete = _complete({"name": entry} if isinstance(entry, str) else entry)
            if complete["name"] in names:
                raise ValueError("comes twice")
            if complete["hotkey"] in hotkeys:
                raise ValueError("has the hotkey of another class")
        except ValueError as error:
            errors.append(FieldError(("body", "labels", position), str(error)))
            continue
        names.add(complete["name"])
        if complete["hotkey"]:
            hotkeys.add(complete["hotkey"])
        classes.append(complete)
    if errors:
        raise Invalid(f"labels: class {errors[0].loc[-1]} {errors[0].msg}.", errors=errors)
    free = [key for key in "123456789" if key not in hotkeys]
    for complete in classes:
        if complete["hotkey"] is None and free:
            complete["hotkey"] = free.pop(0)
    return classes


def _complete(entry: Mapping[str, Any]) -> LabelClass:
    hotkey, color = entry.get("hotkey"), entry.get("color")
    if hotkey is not None and (len(hotkey) != 1 or not hotkey.isprintable() or hotkey.isspace()):
        raise ValueError("has a hotkey that is not one character")
    if color is not None and not _COLOR.fullmatch(color):
        raise ValueError("has a color that is not like #1f77b4")
    return LabelClass(
        name=check_name(entry["name"]),
        description=check_text(entry.get("description") or "", LONGEST_DESCRIPTION),
        hotkey=hotkey.lower() if hotkey else None,
        color=color.lower() if color else None,
    )
