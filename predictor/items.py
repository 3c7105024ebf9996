"""What a bundle predicts: texts, encoded images or feature vectors, by themselves or as rows of JSONL."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy.typing as npt

Item = str | bytes | Sequence[float] | npt.NDArray[Any]
Prediction = dict[str, Any]

TASKS = ("text", "image", "features")


def item_of_row(row: object, task: str) -> Item:
    """The item in a JSONL row; raises ValueError with the reason."""
    if not isinstance(row, Mapping) or task not in row:
        raise ValueError(f'a row must be an object with "{task}"')
    value = row[task]
    if task == "image":
        try:
            return base64.b64decode(value, validate=True)
        except (TypeError, binascii.Error) as error:
            raise ValueError('"image" must be base64') from error
    kind: type = str if task == "text" else list
    if not isinstance(value, kind):
        raise ValueError(f'"{task}" must be a {"string" if kind is str else "list of numbers"}')
    return cast(Item, value)
