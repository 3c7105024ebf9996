"""Vectors of words such that the mean over a text's words comes near the text's own vector: ridge regression."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PENALTY = 0.03
"""Beside the squared errors of the texts: what keeps the vectors of rare words short."""
_ITERATIONS = 40
_PROJECTION_ROWS = 4_000

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


def regress_bags(
    ids: IntArray, counts: IntArray, rows: int, features: Any, dim: int, *, penalty: float = PENALTY
) -> FloatArray:
    """A table (rows, dim) whose means over the rows of each text approach the text's features, projected.

    The projection is on the directions in which features differ most. The regression weighs words by what they say of
    the features, so that frequent ones that say nothing come out near zero: neither a list of stop words nor weights
    by frequency are needed. Solved by conjugate gradients (hestenes1952), all columns at once.

    Args:
        ids: Rows of the table, text after text, (t,); row 0 pads and stays zero.
        counts: How many ids each text has, (n,).
        rows: Size of the table.
        features: Of the texts, (n, d).
        dim: Columns of the table; those beyond d are zero.
        penalty: On the squared length of the vectors.
    """
    from scipy.sparse import csr_array

    X = np.asarray(features, np.float32)
    n = len(counts)
    table = np.zeros((rows, dim), np.float32)
    if n == 0 or len(ids) == 0:
        return table
    X = X - X.mean(0)
    sample = X[:: max(1, -(-n // _PROJECTION_ROWS))]
    _, _, directions = np.linalg.svd(sample, full_matrices=False)
    target = X @ directions[:dim].T
    share = (ids > 0).astype(np.float32)
    begins = np.concatenate([[0], np.cumsum(counts)])
    present = np.add.reduceat(np.append(share, 0), begins[:-1]) * (counts > 0)
    share /= np.maximum(np.repeat(present, counts), 1).astype(np.float32)
    bags = csr_array((share, ids.copy(), begins), shape=(n, rows))
    bags.sum_duplicates()  # in place
    found = _solve(bags, target, penalty)
    found[0] = 0
    table[:, : target.shape[1]] = found
    return table


def _solve(bags: Any, target: FloatArray, penalty: float) -> FloatArray:
    """(BᵀB + penalty) E = Bᵀ target, by conjugate gradients, each column by itself."""
    turned = bags.T.tocsr()
    residual = np.asarray(turned @ target, np.float32)
    found, direction = np.zeros_like(residual), residual.copy()
    size = first = (residual * residual).sum(0)
    for _ in range(_ITERATIONS):
        image = turned @ (bags @ direction) + np.float32(penalty) * direction
        step = size / np.maximum((direction * image).sum(0), 1e-20)
        found += step * direction
        residual -= step * image
        before, size = size, (residual * residual).sum(0)
        if (size <= 1e-8 * first).all():
            break
        direction = residual + (size / np.maximum(before, 1e-20)) * direction
    return found
