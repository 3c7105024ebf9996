"""Features in stretches that fit the cache, converted as they are read and copied only where they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.half import all_finite, widen
from sampler.scores import IntArray

Scaling = tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]

_CHUNK_VALUES = 786_432  # 3 MB of float32: 2,048 rows of 384


def feature_chunks(features: NDArray[np.floating[Any]], rows: IntArray) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The features of ``rows``, stretch by stretch, as float32.

    A stretch is not to be written to, since it may be the store itself, and good until the next is asked for, since
    float16 is widened into one buffer.

    Args:
        features: Shape ``(n, d)``, float16 or float32, possibly memory-mapped.
        rows: Shape ``(k,)``: row numbers.

    Yields:
        Where the stretch lies in ``rows``, and its features, shape ``(stretch, d)``.

    Raises:
        InvalidInput: A float16 feature is NaN or infinite. Of float32 it shows in what is made of them: see
            ``refuse_features``.
    """
    step = max(64, _CHUNK_VALUES // max(1, features.shape[1]))
    is_half = features.dtype == np.float16
    buffer = np.empty((min(step, len(rows)) if is_half else 0, features.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), step):
        wanted = rows[start : start + step]
        first, last = int(wanted[0]), int(wanted[-1])
        # Neighbours in the store are read where they lie: picking rows one by one costs more than the product.
        in_a_row = last - first == len(wanted) - 1 and bool((np.diff(wanted) == 1).all())
        chunk = np.asarray(features[first : last + 1] if in_a_row else features[wanted])
        if is_half and not all_finite(chunk):
            refuse_features(chunk.astype(np.float32), wanted)
        wide = widen(chunk, buffer) if is_half else chunk.astype(np.float32, copy=False)
        yield slice(start, start + len(wanted)), wide


def refuse_features(chunk: NDArray[np.float32], rows: IntArray) -> None:
    """Name the first of ``rows`` whose features hold NaN or infinity; called once a result shows that there is one.

    Raises:
        InvalidInput: Always: where each value is finite, their products are not.
    """
    bad = ~np.isfinite(chunk).all(axis=1)
    if bad.any():
        row = int(rows[np.argmax(bad)])
        raise InvalidInput("features", f"row {row} holds NaN or infinity; encode it again or leave it out")
    raise InvalidInput("features", "values so large that their products overflow; scale the columns first")
