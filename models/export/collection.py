"""What a bundle needs to collect inputs that are worth labelling: the code, and a sketch of the pool."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from models.students.protocol import RawItem
from predictor import collect

LEAST_ITEMS = 10
"""With fewer items of the pool nothing can be called new, and only the uncertain and the random are kept."""


def collection_files(task: str, items: Sequence[RawItem]) -> dict[str, bytes]:
    """The further members of a bundle that may collect, by name.

    Args:
        task: text, image or features.
        items: A random sample of the pool.
    """
    files = {"collect.py": Path(collect.__file__).read_bytes()}
    if len(items) >= LEAST_ITEMS:
        files[collect.NOVELTY] = (json.dumps(collect.make_sketch(items, task)) + "\n").encode()
    return files
