"""Arrays with JSON beside them, as checkpoints keep them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NOTES = "__notes__"


def packed(arrays: Mapping[str, NDArray[Any]], notes: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Arrays with JSON beside them, as one more array of bytes; `unpacked` gives both back."""
    return {**arrays, _NOTES: np.frombuffer(json.dumps(notes).encode(), dtype=np.uint8)}


def unpacked(saved: Mapping[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the JSON of `packed`."""
    notes: dict[str, Any] = json.loads(np.asarray(saved[_NOTES], dtype=np.uint8).tobytes())
    return {name: array for name, array in saved.items() if name != _NOTES}, notes
