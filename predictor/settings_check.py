"""What labels.json and preprocess.json may say: numbers that could take memory or time without end are refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from predictor.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST_CLASSES = 100_000
MOST_ROWS_OF_TABLE = 1 << 31
MOST_SIDE, MOST_PIXELS_SEEN = 4_096, 1 << 22
_LONGEST_LABEL = 10_000


def check_labels(labels: Any) -> list[str]:
    """The class names; raises BundleError where they are not different strings."""
    if not isinstance(labels, list) or not labels or not all(isinstance(name, str) for name in labels):
        raise BundleError("labels.json is not a list of names. Unpack the whole bundle again.")
    if len(labels) > MOST_CLASSES or max(map(len, labels)) > _LONGEST_LABEL:
        raise BundleError(f"labels.json has more than {MOST_CLASSES:,} names, or one that is too long.")
    if len(set(labels)) != len(labels):
        raise BundleError("labels.json names a class twice. Unpack the whole bundle again.")
    return labels


def check_preprocess(settings: Any) -> Mapping[str, Any]:
    """The settings; raises BundleError where they are no object."""
    if not isinstance(settings, dict):
        raise BundleError("preprocess.json is not an object. Unpack the whole bundle again.")
    return settings


def check_rows(settings: Mapping[str, Any]) -> int:
    """The size of the hashed table."""
    rows = settings["rows"]
    if not isinstance(rows, int) or isinstance(rows, bool) or not 2 <= rows < MOST_ROWS_OF_TABLE:
        raise BundleError(f"preprocess.json: rows must be a whole number from 2 to {MOST_ROWS_OF_TABLE - 1:,}.")
    return rows


def check_words(settings: Mapping[str, Any]) -> list[str]:
    """The words of a table, a line for each row."""
    words = settings.get("words")
    if not isinstance(words, list) or not all(isinstance(line, str) for line in words):
        raise BundleError("preprocess.json: words must be a list of texts. Unpack the whole bundle again.")
    return words


def check_pixels(settings: Mapping[str, Any]) -> tuple[str, tuple[int, int], list[float], list[float]]:
    """Mode, size (height, width), mean and spread of an image student's input."""
    mode, size = settings["mode"], settings["size"]
    if mode not in ("L", "RGB"):
        raise BundleError("preprocess.json: mode must be L or RGB.")
    whole = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    if not whole or not all(1 <= side <= MOST_SIDE for side in size) or size[0] * size[1] > MOST_PIXELS_SEEN:
        raise BundleError(
            f"preprocess.json: size must be two whole numbers up to {MOST_SIDE}, at most {MOST_PIXELS_SEEN:,} pixels."
        )
    channels = 1 if mode == "L" else 3
    mean, std = (_finite(settings[name], name, channels) for name in ("mean", "std"))
    if min(std) <= 0:
        raise BundleError("preprocess.json: std must be above zero.")
    return mode, (size[0], size[1]), mean, std


def _finite(values: Any, name: str, n: int) -> list[float]:
    numbers = isinstance(values, list | tuple) and len(values) == n and all(type(v) in (int, float) for v in values)
    if not numbers or not all(abs(v) < 1e30 and math.isfinite(v) for v in values):
        raise BundleError(f"preprocess.json: {name} must be {n} finite numbers.")
    return [float(v) for v in values]
