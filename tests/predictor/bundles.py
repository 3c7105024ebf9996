"""Bundles made by hand: weights that one can follow in one's head."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.export.bundle import write_serving_folder
from models.students.student import Student
from predictor.hashing import hash_texts


def text_bundle(folder: Path, classes: Sequence[str] = ("cat", "dog")) -> Path:
    """Each class's own name speaks for it with weight 4; the bias leans a little to the first."""
    write_serving_folder(word_student(classes), folder)
    return folder


def word_student(classes: Sequence[str]) -> Student:
    """The student of `text_bundle`."""
    rows, n = 4096, len(classes)
    table = np.zeros((rows, max(n, 2)), np.float32)
    for index, name in enumerate(classes):
        table[hash_texts([name], rows)[0][0], index] = 4
    bias = np.zeros(n, np.float32)
    bias[0] = 0.5
    head = np.eye(n, max(n, 2), dtype=np.float32)
    arrays = {"table": table, "head.weight": head, "head.bias": bias, "scale": np.ones(1, np.float32)}
    return Student.from_arrays("hashed", arrays, classes)


def vector_bundle(folder: Path) -> Path:
    """Two features: the larger of x and y wins."""
    write_serving_folder(vector_student(), folder)
    return folder


def vector_student() -> Student:
    """The student of `vector_bundle`."""
    arrays = {
        "center": np.zeros(2, np.float32),
        "spread": np.ones(2, np.float32),
        "scale": np.ones(1, np.float32),
        "hidden.weight": np.eye(2, dtype=np.float32),
        "hidden.bias": np.zeros(2, np.float32),
        "head.weight": np.eye(2, dtype=np.float32),
        "head.bias": np.zeros(2, np.float32),
    }
    return Student.from_arrays("mlp", arrays, ["x", "y"])


def png(level: int, *, size: int = 8, mode: str = "L") -> bytes:
    """An even image of one grey level."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new(mode, (size, size), level if mode == "L" else (level, level, level)).save(buffer, "PNG")
    return buffer.getvalue()


def image_bundle(folder: Path) -> Path:
    """Tells dark from light: the first map is the brightness, the head compares it with the middle."""
    from models.students.convnet import ConvNetwork

    network = ConvNetwork("L", (8, 8), np.array([0.0], np.float32), np.array([1.0], np.float32), 2)
    arrays = {name: np.zeros_like(array) for name, array in network.arrays().items()}
    arrays |= {"size": np.array([8, 8]), "mean": np.zeros(1, np.float32), "std": np.ones(1, np.float32)}
    arrays["scale"] = np.ones(1, np.float32)
    for block in (0, 1):
        arrays[f"blocks.{block}.norm.weight"] += 1
        arrays[f"blocks.{block}.norm.running_var"] += 1
        arrays[f"blocks.{block}.conv.weight"][0, 0, 1, 1] = 1
    arrays["head.weight"][1, 0] = 10
    arrays["head.bias"] += np.array([5, 0], np.float32)
    write_serving_folder(Student.from_arrays("convnet", arrays, ["dark", "light"]), folder)
    return folder
