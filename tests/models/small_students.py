"""Small pools of each kind, whose classes are plain to see, and students of them."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.distill import distil
from models.students.student import Student

FRUIT = ["apple", "banana", "cherry", "mango", "lemon", "grape", "melon", "peach"]
TOOLS = ["hammer", "saw", "drill", "pliers", "wrench", "chisel", "screw", "nail"]
FILLER = ["the", "a", "of", "is", "that", "with", "and", "very", "some", "my"]
KINDS = ("fruit", "tool")


def texts(n: int, seed: int = 0) -> tuple[list[str], NDArray[np.int64]]:
    """Texts of six words, two of which tell fruit (0) from tools (1)."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    made = []
    for label in y:
        words = [*rng.choice(FRUIT if label == 0 else TOOLS, 2), *rng.choice(FILLER, 4)]
        made.append(" ".join(rng.permutation(words)))
    return made, y


def images(n: int, seed: int = 0, *, colour: bool = False, size: int = 8) -> tuple[list[bytes], NDArray[np.int64]]:
    """PNGs of a bar: lying (0), standing (1) or none (2), on a noisy ground."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    made = []
    for label in y:
        pixels = rng.integers(0, 60, (size, size))
        at = int(rng.integers(2, size - 2))
        if label == 0:
            pixels[at, 1:-1] += 180
        elif label == 1:
            pixels[1:-1, at] += 180
        grey = pixels.astype(np.uint8)
        buffer = io.BytesIO()
        picture = np.stack([grey, grey // 2, 255 - grey], -1) if colour else grey
        Image.fromarray(picture).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made, y


def vectors(n: int, seed: int = 0) -> tuple[list[NDArray[np.float32]], NDArray[np.int64]]:
    """Four features on very different scales, one of them constant; three classes around three centres."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    centres = np.array([[0, 0], [4, 0], [0, 4]])
    X = np.zeros((n, 4), np.float32)
    X[:, :2] = centres[y] + rng.normal(size=(n, 2)) * 0.6
    X[:, 1] = X[:, 1] * 1000 + 5000
    X[:, 2] = 7
    X[:, 3] = rng.normal(size=n) * 1e-3
    return list(X), y


def soft_labels(y: NDArray[np.int64], n_classes: int, sure: float = 0.9) -> NDArray[np.float64]:
    """A teacher that is right, and this sure of it: (n, n_classes)."""
    soft = np.full((len(y), n_classes), (1 - sure) / (n_classes - 1))
    soft[np.arange(len(y)), y] = sure
    return soft


@cache
def text_student() -> Student:
    """A hashed student that tells fruit from tools."""
    items, y = texts(400)
    names = KINDS
    return distil("hashed", items, soft_labels(y, 2), [], [], class_names=names, rng=np.random.default_rng(0)).student


@cache
def image_student() -> Student:
    """A small convolutional net that sees bars."""
    items, y = images(300)
    names = ("lying", "standing", "none")
    return distil("convnet", items, soft_labels(y, 3), [], [], class_names=names, rng=np.random.default_rng(0)).student


@cache
def vector_student() -> Student:
    """A small perceptron over four features."""
    items, y = vectors(300)
    names = ("origin", "east", "north")
    return distil("mlp", items, soft_labels(y, 3), [], [], class_names=names, rng=np.random.default_rng(0)).student
