"""Both files of a simulation through an encoder, as the service would keep their features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worker.class_names import name_phrases, name_words
from worker.dataset import Dataset
from worker.round_data import FloatArray

if TYPE_CHECKING:
    from models.encoders import Encoder

Progress = Callable[[float, str], None]

_FIT_SAMPLE = 20_000
_CHUNK = 512


@dataclass(frozen=True)
class EncodedFiles:
    """What an encoder makes of a pool of n items, a test file of m and the classes' names.

    Attributes:
        encoder: Its name.
        pool: Shape (n, d).
        test: Shape (m, d).
        class_vectors: Shape (n_classes, d): the names, in the order of the classes; None where it reads no texts.
        class_phrases: Shape (n_classes, phrasings, d): several phrasings of each; None likewise.
    """

    encoder: str
    pool: FloatArray
    test: FloatArray
    class_vectors: FloatArray | None = None
    class_phrases: FloatArray | None = None


def fitted_encoder(name: str, pool: Dataset, cache: Path) -> Encoder:
    """An encoder that has learned what there is to learn from a sample of the pool.

    Raises:
        ModelError: There is none of that name, or it cannot be had.
    """
    from models.encoders import make_encoder

    encoder = make_encoder(name, pool.task, cache=cache)
    if encoder.needs_fit:
        rng = np.random.default_rng(0)
        sample = np.sort(rng.permutation(len(pool))[:_FIT_SAMPLE])
        encoder.fit([pool.items[row] for row in sample], rng)
    return encoder


def encoded_files(
    encoder: Encoder, pool: Dataset, test: Dataset, classes: Sequence[str], progress: Progress | None = None
) -> EncodedFiles:
    """Both files, and the names of the classes, by an encoder. It says how far it is as a tenth of the whole."""
    items = [*pool.items, *test.items]
    parts = []
    for start in range(0, len(items), _CHUNK):
        if progress is not None:
            progress(0.1 * start / len(items), f"encoding with {encoder.name}: {start} of {len(items)}")
        parts.append(encoder.encode(items[start : start + _CHUNK]).features)
    features = np.concatenate(parts).astype(encoder.dtype)
    vectors = encoder.encode([name_words(name) for name in classes]).features
    phrased = encoder.encode([phrase for name in classes for phrase in name_phrases(name)]).features
    return EncodedFiles(
        encoder=encoder.name,
        pool=features[: len(pool)],
        test=features[len(pool) :],
        class_vectors=vectors,
        class_phrases=phrased.reshape(len(classes), -1, phrased.shape[1]),
    )
