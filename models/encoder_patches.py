"""The encoder ``patches``: unsupervised k-means features of image patches (coates2011), nothing to download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem
from models.errors import CorruptModel
from models.fitted_encoder import FittedEncoder
from models.images import MIN_SIDE, ImageShape, decode_image, measure_shape
from models.softmax import single_blas_thread

MAX_DIM = 256
_SAMPLE = 4_000
_PATCHES = 60_000
_CENTROIDS = 175
_CELLS = 3
_PROJECTED_SAMPLE = 3_000
_CHUNK_BYTES = 48 << 20
# Measured on MNIST, 192 random labels: .85 with the paper's floor, quadrants, standardisation and triangle; .92 so.
_CONTRAST_FLOOR = 0.03
_WHITENING_FLOOR = 0.1
_STATE = {"mean", "whitening", "centroids", "pool_mean", "projection"}

FloatArray = NDArray[np.float32]


class PatchesEncoder(FittedEncoder):
    """Sparse triangle activations of whitened patches by their centroids, pooled over 3 × 3 cells, reduced by PCA.

    Differs from the paper where labels are few: an activation begins one standard deviation below the mean distance,
    sums are square-rooted (a few strong edges do not drown the rest), and PCA without standardising drops the noise.

    Rows have length 1; an image that does not decode gives a zero row.
    """

    name = "patches"
    version = "1"
    dtype: Literal["float16", "float32"] = "float16"

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None = None, details: Mapping[str, Any] | None = None):
        """A fresh one, or the one whose `state` and `details` these are.

        Raises:
            CorruptModel: The state is incomplete.
        """
        super().__init__(arrays)
        self._shape = ImageShape(MIN_SIDE, 1)
        if self._arrays:
            try:
                self._shape = ImageShape(int((details or {})["side"]), int((details or {})["channels"]))
            except KeyError as missing:
                raise CorruptModel("The state of the encoder 'patches'", f"it does not say its {missing}") from missing
            if set(self._arrays) != _STATE:
                raise CorruptModel("The state of the encoder 'patches'", f"it holds {sorted(self._arrays)}")

    @property
    def dim(self) -> int:
        """At most 256; 0 before `fit`."""
        return int(self._arrays["projection"].shape[1]) if self._arrays else 0

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Learn size, colour, whitening, centroids and projection from at most 4,000 of these images.

        Raises:
            BadInput: Not one image of the sample decodes.
        """
        chosen = sample
        if len(sample) > _SAMPLE:
            chosen = [sample[i] for i in np.sort(rng.choice(len(sample), _SAMPLE, replace=False))]
        self._shape = measure_shape(chosen)
        images = np.stack(
            [image for image in (decode_image(item, self._shape) for item in chosen) if image is not None]
        )
        with single_blas_thread():
            self._arrays = _learn(images, self._shape, rng)
        self._digest = None

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of encoded images (PNG, JPEG, …), (n, dim) float32.

        Raises:
            NotFitted: `fit` was not called.
        """
        self._require_state()
        features = np.zeros((len(items), self.dim), dtype=np.float32)
        failed = 0
        step = _images_a_chunk(self._shape, len(self._arrays["centroids"]))
        with single_blas_thread():
            for start in range(0, len(items), step):
                decoded = [decode_image(item, self._shape) for item in items[start : start + step]]
                good = [i for i, image in enumerate(decoded) if image is not None]
                failed += len(decoded) - len(good)
                if good:
                    pooled = _pool(
                        np.stack([image for image in decoded if image is not None]), self._shape, self._arrays
                    )
                    features[start + np.array(good)] = _project(pooled, self._arrays)
        return Encoded(features, n_failed=failed)

    def state(self) -> dict[str, NDArray[Any]]:
        """Whitening, centroids and projection."""
        return dict(self._arrays)

    def details(self) -> dict[str, Any]:
        """What images are brought to, and the side of a patch."""
        return {"side": self._shape.side, "channels": self._shape.channels, "patch": self._shape.patch}


def _images_a_chunk(shape: ImageShape, n_centroids: int) -> int:
    places = (shape.side - shape.patch + 1) ** 2
    return max(1, _CHUNK_BYTES // (places * 4 * (n_centroids + shape.patch**2 * shape.channels)))


def _patches(images: FloatArray, shape: ImageShape) -> FloatArray:
    """All patches, brightness and contrast taken out, (n, places, patch² × channels)."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (shape.patch, shape.patch), axis=(1, 2))
    flat = windows.reshape(len(images), -1, shape.patch**2 * shape.channels)
    centered = flat - flat.mean(axis=2, keepdims=True)
    contrast = np.sqrt(np.einsum("nij,nij->ni", centered, centered) / flat.shape[2] + _CONTRAST_FLOOR)
    return np.asarray(centered / contrast[..., None], dtype=np.float32)


def _learn(images: FloatArray, shape: ImageShape, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    order = rng.permutation(len(images))
    per_image = max(1, -(-_PATCHES // len(images)))
    picked = []
    step = _images_a_chunk(shape, 1)
    for start in range(0, len(order), step):
        block = _patches(images[order[start : start + step]], shape)
        places = rng.integers(block.shape[1], size=(len(block), min(per_image, 4 * block.shape[1])))
        picked.append(np.take_along_axis(block, places[..., None], axis=1).reshape(-1, block.shape[2]))
    patches = np.concatenate(picked)[:_PATCHES]
    mean, whitening = _whiten(patches)
    arrays: dict[str, NDArray[Any]] = {
        "mean": mean,
        "whitening": whitening,
        "centroids": _cluster(np.asarray((patches - mean) @ whitening, dtype=np.float32), rng),
    }
    some = images[order[:_PROJECTED_SAMPLE]]
    step = _images_a_chunk(shape, len(arrays["centroids"]))
    pooled = np.concatenate([_pool(some[i : i + step], shape, arrays) for i in range(0, len(some), step)])
    return arrays | _learn_projection(pooled)


def _whiten(patches: FloatArray) -> tuple[FloatArray, FloatArray]:
    """ZCA: mean (p,) and a symmetric matrix (p, p) that decorrelates without moving pixels."""
    mean = patches.mean(axis=0)
    centered = (patches - mean).astype(np.float64)
    values, vectors = np.linalg.eigh(centered.T @ centered / len(centered))
    matrix = (vectors / np.sqrt(np.maximum(values, 0) + _WHITENING_FLOOR)) @ vectors.T
    return mean.astype(np.float32), np.asarray(matrix, dtype=np.float32)


def _cluster(points: FloatArray, rng: np.random.Generator) -> FloatArray:
    """k-means, ten rounds from random points; an empty cluster takes the point that is farthest from all."""
    from scipy.sparse import csr_matrix

    k = min(_CENTROIDS, len(points))
    centroids: FloatArray = points[rng.choice(len(points), k, replace=False)].copy()
    for _ in range(10):
        nearest = np.empty(len(points), dtype=np.int64)
        gain = np.empty(len(points), dtype=np.float32)
        half = 0.5 * (centroids**2).sum(axis=1)
        for start in range(0, len(points), 4_096):
            scores = points[start : start + 4_096] @ centroids.T - half
            nearest[start : start + 4_096] = scores.argmax(axis=1)
            gain[start : start + 4_096] = scores.max(axis=1)
        distance = (points**2).sum(axis=1) - 2 * gain
        counts = np.bincount(nearest, minlength=k)
        members = csr_matrix((np.ones(len(points), np.float32), (nearest, np.arange(len(points)))), (k, len(points)))
        centroids = np.asarray(members @ points, dtype=np.float32)
        centroids /= np.maximum(counts, 1)[:, None].astype(np.float32)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            centroids[empty] = points[np.argsort(-distance, kind="stable")[: len(empty)]]
    return np.ascontiguousarray(centroids, dtype=np.float32)


def _pool(images: FloatArray, shape: ImageShape, arrays: Mapping[str, NDArray[Any]]) -> FloatArray:
    """Root of the sums in each of 3 × 3 cells of max(0, mean − deviation − distance) to each centroid, (n, 9 k)."""
    places = shape.side - shape.patch + 1
    flat = _patches(images, shape).reshape(-1, shape.patch**2 * shape.channels)
    flat = (flat - arrays["mean"]) @ arrays["whitening"]
    centroids = arrays["centroids"]
    distances = flat @ (-2 * centroids.T)
    distances += (centroids**2).sum(axis=1)
    distances += np.einsum("ij,ij->i", flat, flat)[:, None]
    np.maximum(distances, 0, out=distances)
    np.sqrt(distances, out=distances)
    mean = distances.mean(axis=1, keepdims=True)
    square = np.einsum("ij,ij->i", distances, distances)[:, None] / len(centroids)
    activations = np.subtract(mean - np.sqrt(np.maximum(square - mean**2, 0)), distances, out=distances)
    np.maximum(activations, 0, out=activations)
    grid = activations.reshape(len(images), places, places, len(centroids))
    edges = np.linspace(0, places, _CELLS + 1).round().astype(int)
    rows = np.add.reduceat(grid, edges[:-1], axis=1)
    cells = np.add.reduceat(rows, edges[:-1], axis=2)
    return np.sqrt(cells.reshape(len(images), -1))


def _learn_projection(pooled: FloatArray) -> dict[str, NDArray[Any]]:
    """Mean (9 k,) and principal axes (9 k, at most 256) of the pooled features."""
    mean = pooled.mean(axis=0)
    Z = (pooled - mean).astype(np.float64)
    if len(Z) >= Z.shape[1]:
        values, vectors = np.linalg.eigh(Z.T @ Z)
        axes = vectors[:, np.argsort(-values)[:MAX_DIM]]
    else:
        axes = np.linalg.svd(Z, full_matrices=False)[2][:MAX_DIM].T
    # The sign of an axis is arbitrary, and differs between machines unless it is fixed.
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    return {"pool_mean": mean.astype(np.float32), "projection": np.ascontiguousarray(axes, dtype=np.float32)}


def _project(pooled: FloatArray, arrays: Mapping[str, NDArray[Any]]) -> FloatArray:
    rows = (pooled - arrays["pool_mean"]) @ arrays["projection"]
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 1e-6, norms, 1), dtype=np.float32)
