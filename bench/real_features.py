"""The real sets with the features that a project would have: encoded here, or read where they were kept."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.texts import labelled_texts
from worker.class_names import name_words

SETS = ("agnews", "banking77", "mnist10k")
MNIST_POOL = 8_000


@dataclass(frozen=True)
class RealSet:
    """A pool and a test set: features (n, d) and class indices (n,)."""

    X: NDArray[np.floating[Any]]
    y: NDArray[np.int64]
    test_features: NDArray[np.floating[Any]]
    test_y: NDArray[np.int64]

    @property
    def n_classes(self) -> int:
        """Classes of the pool."""
        return int(self.y.max()) + 1


def real_features(name: str, kept: Path | None = None) -> RealSet:
    """One of `SETS`: from ``kept/NAME.train.npz`` and ``.test.npz`` (X, y) where given, else encoded, in minutes.

    Raises:
        FileNotFoundError: ``WINNOW_BENCH_DATA`` names no folder with it.
    """
    if kept is not None:
        parts = []
        for part in ("train", "test"):
            with np.load(kept / f"{name}.{part}.npz", allow_pickle=False) as arrays:
                parts += [arrays["X"], arrays["y"]]
        return _indexed(*parts)
    folder = os.environ.get("WINNOW_BENCH_DATA")
    if not folder or not any(Path(folder).glob(f"{name}*")):
        raise FileNotFoundError(f"WINNOW_BENCH_DATA names no folder with {name}")
    return _digits(Path(folder)) if name == "mnist10k" else _texts(name)


def keep_features(name: str, folder: Path, encoder: str | None = None) -> RealSet:
    """`real_features`, kept in ``folder`` the first time: texts take ``encoder`` where given (``hashed``).

    Raises:
        FileNotFoundError: It is not kept, and ``WINNOW_BENCH_DATA`` names no folder with the set.
        ValueError: Images have no such encoder.
    """
    kept = name if encoder is None else f"{name}-{encoder}"
    if not (folder / f"{kept}.test.npz").exists():
        if encoder is None:
            data = real_features(name)
        elif name == "mnist10k":
            raise ValueError(f"{name} holds images: the encoder '{encoder}' is for texts")
        else:
            data = _texts(name, encoder)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{kept}.train.npz", X=data.X, y=data.y)
        np.savez(folder / f"{kept}.test.npz", X=data.test_features, y=data.test_y)
    return real_features(kept, folder)


def keep_class_vectors(
    name: str, folder: Path, encoder: str | None = None, *, numbered: bool = False
) -> dict[str, NDArray[np.float32]] | None:
    """The names of a set's classes by the encoder of its features, by class index as a string; kept beside those.

    Args:
        name: One of `SETS`.
        folder: As in `keep_features`.
        encoder: As in `keep_features`.
        numbered: Names that say nothing: numbers, none of them the class's own index.

    Returns:
        Vectors of shape ``(d,)``; None for images, and where the vectors are not kept and ``WINNOW_BENCH_DATA`` names
        no folder with the set.
    """
    kept = f"{name if encoder is None else f'{name}-{encoder}'}.{'numbers' if numbered else 'classes'}"
    if name == "mnist10k":
        return None
    if not (folder / f"{kept}.npz").exists():
        data = os.environ.get("WINNOW_BENCH_DATA")
        if not data or not any(Path(data).glob(f"{name}*")):
            return None
        texts, labels, _ = labelled_texts(1_000_000, name)
        names = sorted(set(labels))
        words = [str(100 + 7 * i) for i in range(len(names))] if numbered else [name_words(each) for each in names]
        vectors = _encode(encoder or "minilm", "text", words, 0, texts).astype(np.float32)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / f"{kept}.npz", vectors=vectors)
    with np.load(folder / f"{kept}.npz", allow_pickle=False) as arrays:
        return {str(index): vector for index, vector in enumerate(arrays["vectors"])}


def _indexed(X: Any, y: Any, test_features: Any, test_y: Any) -> RealSet:
    classes, indices = np.unique(y, return_inverse=True)
    return RealSet(X, indices.astype(np.int64), test_features, np.searchsorted(classes, test_y).astype(np.int64))


def _texts(name: str, encoder: str = "minilm") -> RealSet:
    texts, labels, _ = labelled_texts(1_000_000, name)
    test_texts, test_labels, _ = labelled_texts(1_000_000, name, "test")
    X = _encode(encoder, "text", texts + test_texts, len(texts))
    return _indexed(X[: len(texts)], np.array(labels), X[len(texts) :], np.array(test_labels))


def digit_files(folder: Path) -> tuple[list[bytes], NDArray[np.int64]]:
    """The digits of mnist10k as PNG files, the pool's first, and their classes; (10,000,)."""
    from PIL import Image

    pixels = np.frombuffer(gzip.decompress((folder / "mnist10k-images.gz").read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress((folder / "mnist10k-labels.gz").read_bytes()), np.uint8, offset=8)
    files = []
    for image in pixels.reshape(-1, 28, 28):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        files.append(file.getvalue())
    return files, y.astype(np.int64)


def _digits(folder: Path) -> RealSet:
    files, y = digit_files(folder)
    X = _encode("patches", "image", files, MNIST_POOL)
    return _indexed(X[:MNIST_POOL], y[:MNIST_POOL], X[MNIST_POOL:], y[MNIST_POOL:])


def _encode(
    name: str, task: str, items: Sequence[Any], n_pool: int, pool: Sequence[Any] | None = None
) -> NDArray[np.floating[Any]]:
    """Features of the items, by an encoder that learns from the first ``n_pool`` of them, or from ``pool``."""
    from models.encoders import make_encoder

    with tempfile.TemporaryDirectory(prefix="winnow-bench-") as folder:
        encoder = make_encoder(name, task, cache=Path(folder))
        if encoder.needs_fit:
            encoder.fit(items[:n_pool] if pool is None else pool, np.random.default_rng(0))
        parts = [encoder.encode(items[start : start + 512]).features for start in range(0, len(items), 512)]
    features: NDArray[np.floating[Any]] = np.concatenate(parts).astype(encoder.dtype)
    return features
