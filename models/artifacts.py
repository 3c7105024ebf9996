"""A student as files: weights as safetensors, all else as JSON. Nothing that is loaded can run code."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptModel
from models.students.student import Student

WEIGHTS, DESCRIPTION = "student.safetensors", "student.json"
FORMAT = 1
MOST_BYTES = 2 << 30
"""Weights may be as large as this, the description a hundredth of it."""


def save_student(folder: Path, student: Student, **details: Any) -> None:
    """Write ``student.safetensors`` and ``student.json`` into a folder, which is made where it is missing.

    Args:
        folder: Where to; other files in it are left alone.
        student: What to save.
        **details: Anything JSON that is worth keeping with it, such as its recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = pack_weights(student.arrays())
    (folder / WEIGHTS).write_bytes(weights)
    description = {
        "format": FORMAT,
        "family": student.family,
        "task": student.task,
        "class_names": list(student.class_names),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "config": student.config(),
        "details": details,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, ensure_ascii=False, indent=1), "utf-8")


def pack_weights(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Arrays as the bytes of a safetensors file: equal arrays give equal bytes."""
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def load_description(folder: Path) -> Mapping[str, Any]:
    """What ``student.json`` says; raises CorruptModel."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(_read(path, MOST_BYTES // 100))
    except (ValueError, RecursionError) as error:
        raise CorruptModel(str(path), str(error)) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CorruptModel(str(path), f"it is not of format {FORMAT}")
    names = description.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorruptModel(str(path), "it does not name the classes")
    if not isinstance(description.get("family"), str):
        raise CorruptModel(str(path), "it does not name the family of the student")
    return description


def load_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a saved student, as a warm start takes them; raises CorruptModel."""
    path = folder / WEIGHTS
    expected = load_description(folder).get("sha256")
    weights = _read(path, MOST_BYTES)
    if hashlib.sha256(weights).hexdigest() != expected:
        raise CorruptModel(str(path), "its checksum is another one")
    return read_arrays(weights, str(path))


def read_arrays(weights: bytes, name: str = WEIGHTS) -> dict[str, NDArray[Any]]:
    """The arrays in the bytes of a safetensors file: what its header claims is checked against what there is.

    Raises:
        CorruptModel: it is no safetensors file, was cut off, or holds numbers that are none (NaN, infinity).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(weights))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CorruptModel(name, str(error)) from error
    for key, array in arrays.items():
        if array.size == 0:
            raise CorruptModel(name, f"{key} is empty")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CorruptModel(name, f"{key} holds numbers that are none")
    return arrays


def load_student(folder: Path) -> Student:
    """The student that `save_student` wrote; raises CorruptModel where a file is missing or damaged."""
    description = load_description(folder)
    return Student.from_arrays(description["family"], load_arrays(folder), description["class_names"])


def _read(path: Path, most: int) -> bytes:
    """A regular file of bounded size; raises CorruptModel."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise CorruptModel(str(path), "it is not a regular file")
        if found.st_size > most:
            raise CorruptModel(str(path), f"it has more than {most:,} bytes, which no student has")
        return path.read_bytes()
    except OSError as error:
        raise CorruptModel(str(path), str(error)) from error
