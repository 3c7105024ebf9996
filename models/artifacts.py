"""A student as files: weights as safetensors, all else as JSON. Nothing that is loaded can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import CorruptModel
from models.students.student import Student

WEIGHTS, DESCRIPTION = "student.safetensors", "student.json"
FORMAT = 1


def save_student(folder: Path, student: Student, **details: Any) -> None:
    """Write ``student.safetensors`` and ``student.json`` into a folder, which is made where it is missing.

    Args:
        folder: Where to; other files in it are left alone.
        student: What to save.
        **details: Anything JSON that is worth keeping with it, such as its recipe.
    """
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: np.ascontiguousarray(array) for name, array in student.arrays().items()})
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


def load_description(folder: Path) -> Mapping[str, Any]:
    """What ``student.json`` says; raises CorruptModel."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptModel(str(path), str(error)) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CorruptModel(str(path), f"it is not of format {FORMAT}")
    return description


def load_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a saved student, as a warm start takes them; raises CorruptModel."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / WEIGHTS
    expected = load_description(folder).get("sha256")
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CorruptModel(str(path), str(error)) from error
    if hashlib.sha256(weights).hexdigest() != expected:
        raise CorruptModel(str(path), "its checksum is another one")
    try:
        return dict(load(weights))
    except SafetensorError as error:
        raise CorruptModel(str(path), str(error)) from error


def load_student(folder: Path) -> Student:
    """The student that `save_student` wrote; raises CorruptModel where a file is missing or damaged."""
    description = load_description(folder)
    return Student.from_arrays(description["family"], load_arrays(folder), description["class_names"])
