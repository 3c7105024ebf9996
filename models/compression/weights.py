"""Simpler weights of the same shape or of thin factors: magnitude pruning, clustering, low-rank factorisation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.errors import BadInput
from models.minilm_graph import layer_count

FloatArray = NDArray[np.float32]
Weights = Mapping[str, FloatArray]

_KERNELS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)
_INNER = ("intermediate.dense", "output.dense")
_ROUNDS = 12


def kernel_names(weights: Weights, parts: tuple[str, ...] = _KERNELS) -> list[str]:
    """The names of the matrices that products are made with, as far as they are there."""
    named = [f"encoder.layer.{layer}.{part}.weight" for layer in range(layer_count(weights)) for part in parts]
    return [name for name in named if name in weights]


def prune_magnitudes(weights: Weights, share: float) -> tuple[dict[str, FloatArray], dict[str, NDArray[np.bool_]]]:
    """Set the smallest weights of each matrix to zero (han2016).

    Args:
        weights: The encoder.
        share: Of each matrix that goes, 0 … 1.

    Returns:
        The weights, and by matrix which of them stay.

    Raises:
        BadInput: The share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise BadInput(f"The share of weights to prune must lie between 0 and 1, not at {share}.")
    pruned, masks = dict(weights), {}
    for name in kernel_names(weights):
        size = np.abs(weights[name])
        masks[name] = size > np.quantile(size, share)
        pruned[name] = np.where(masks[name], weights[name], np.float32(0))
    return pruned, masks


def cluster_weights(weights: Weights, clusters: int) -> dict[str, FloatArray]:
    """Replace each weight of a matrix by the nearest of a few values of its own (han2016).

    The values are found by Lloyd's rounds from quantiles, on a matrix's sorted weights.

    Raises:
        BadInput: Fewer than two clusters, or more than one byte can number.
    """
    if not 2 <= clusters <= 256:
        raise BadInput(f"{clusters} clusters cannot be made: give 2 to 256.")
    clustered = dict(weights)
    for name in kernel_names(weights):
        clustered[name] = _clustered(weights[name], clusters)
    return clustered


def _clustered(matrix: FloatArray, clusters: int) -> FloatArray:
    flat = np.sort(matrix.ravel().astype(np.float64))
    sums = np.concatenate([[0.0], np.cumsum(flat)])
    values = np.unique(np.quantile(flat, (np.arange(clusters) + 0.5) / clusters))
    for _ in range(_ROUNDS):
        # Sorted values part a sorted line at their middles.
        edges = np.searchsorted(flat, (values[:-1] + values[1:]) / 2)
        begins, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(flat)]])
        full = ends > begins
        values = (sums[ends[full]] - sums[begins[full]]) / (ends[full] - begins[full])
    nearest = np.searchsorted((values[:-1] + values[1:]) / 2, matrix)
    clustered: FloatArray = values.astype(np.float32)[nearest]
    return clustered


def factorise(weights: Weights, rank: int, amplitudes: Mapping[str, FloatArray] | None = None) -> dict[str, FloatArray]:
    """Put two thin factors in the place of each matrix of the feed-forward parts, where that takes fewer products.

    Args:
        weights: The encoder.
        rank: Of the product; matrices for which it saves nothing stay.
        amplitudes: Size of the inputs of each matrix by channel, by activation (see
            `models.minilm_graph.activation_names`): errors on loud channels count more (yuan2023).

    Raises:
        BadInput: The rank is not positive.
    """
    if rank < 1:
        raise BadInput(f"A rank must be 1 at least, not {rank}.")
    factored = dict(weights)
    for name in kernel_names(weights, _INNER):
        matrix = weights[name]
        if rank * sum(matrix.shape) >= matrix.size:
            continue
        parts = name.split(".")
        seen = f"layer{parts[2]}.{'attention' if parts[3] == 'intermediate' else 'gelu'}"
        loud = np.ones(matrix.shape[1], np.float32)
        if amplitudes is not None and seen in amplitudes:
            loud = np.maximum(amplitudes[seen], 1e-6).astype(np.float32)
        left, sizes, right = np.linalg.svd(matrix * loud, full_matrices=False)
        root = np.sqrt(sizes[:rank])
        factored[f"{name}.wide"] = np.ascontiguousarray(left[:, :rank] * root, np.float32)
        factored[f"{name}.thin"] = np.ascontiguousarray(root[:, None] * right[:rank] / loud, np.float32)
        del factored[name]
    return factored
