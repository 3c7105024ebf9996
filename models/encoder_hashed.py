"""The encoder ``hashed``: tf-idf of hashed n-grams, reduced to 256 dimensions; nothing to download, any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.encoders import Encoded, RawItem
from models.errors import BadInput, CorruptModel
from models.fitted_encoder import FittedEncoder
from models.ngrams import N_BUCKETS, count_ngrams, mix

DIM = 256
SVD_MIN = 300
"""Below this many texts a truncated SVD has too little to go by, and a random projection is used."""
_SAMPLE = 5_000
_BUCKETS_KEPT = 20_000
_SIGNS_A_BUCKET = 4
_CHUNK = 512
_SVD_STATE = {"buckets", "idf", "components"}
_PROJECTION_STATE = {"seed"}

FloatArray = NDArray[np.float32]


class HashedEncoder(FittedEncoder):
    """Latent semantic features (deerwester1990), or where the pool is tiny a sparse random projection (achlioptas2003).

    Rows have length 1, but those of texts without a single known n-gram, which are zero.
    """

    name = "hashed"
    version = "1"
    dim = DIM
    dtype: Literal["float16", "float32"] = "float16"

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None = None):
        """A fresh one, or with ``arrays`` the one whose `state` they are.

        Raises:
            CorruptModel: An array is missing.
        """
        super().__init__(arrays)
        if self._arrays and set(self._arrays) not in (_SVD_STATE, _PROJECTION_STATE):
            raise CorruptModel("The state of the encoder 'hashed'", f"it holds the arrays {sorted(self._arrays)}")
        self._columns: Any = None

    def fit(self, sample: Sequence[RawItem], rng: np.random.Generator) -> None:
        """Learn document frequencies and the projection from at most 5,000 of these texts.

        Raises:
            BadInput: The sample is empty.
        """
        if not len(sample):
            raise BadInput("An encoder cannot be fitted on no texts: add some items first.")
        chosen = sample
        if len(sample) > _SAMPLE:
            chosen = [sample[i] for i in np.sort(rng.choice(len(sample), _SAMPLE, replace=False))]
        texts = [item if isinstance(item, str) else "" for item in chosen]
        seed = int(rng.integers(2**31))
        fitted = _fit_svd(texts, seed) if len(texts) >= SVD_MIN else None
        self._arrays = fitted or {"seed": np.array([seed], dtype=np.int64)}
        self._digest = self._columns = None

    def encode(self, items: Sequence[RawItem]) -> Encoded:
        """Features of texts, (n, 256) float32.

        Raises:
            NotFitted: `fit` was not called.
        """
        self._require_state()
        features = np.zeros((len(items), self.dim), dtype=np.float32)
        texts = [item if isinstance(item, str) else "" for item in items]
        for start in range(0, len(texts), _CHUNK):
            block = slice(start, start + _CHUNK)
            features[block] = self._encode_block(texts[block])
        return Encoded(features, n_failed=sum(not isinstance(item, str) for item in items))

    def state(self) -> dict[str, NDArray[Any]]:
        """Buckets kept (k,), their inverse document frequencies (k,) and the projection (k, 256); or a seed (1,)."""
        return dict(self._arrays)

    def details(self) -> dict[str, Any]:
        """The n-grams, the buckets, and where the projection comes from."""
        return {"words": [1, 2], "characters": [3, 5], "buckets": N_BUCKETS}

    def _encode_block(self, texts: Sequence[str]) -> FloatArray:
        weighted = _sublinear(count_ngrams(texts))
        if self._columns is None:
            self._columns = self._projection()
        if "buckets" in self._arrays:
            weighted = weighted[:, self._arrays["buckets"]]
        product = weighted @ self._columns
        dense = np.asarray(product.toarray() if hasattr(product, "toarray") else product, dtype=np.float32)
        norms = np.linalg.norm(dense, axis=1, keepdims=True)
        return np.asarray(dense / np.where(norms > 0, norms, 1))

    def _projection(self) -> Any:
        if "seed" in self._arrays:
            return _random_projection(int(self._arrays["seed"][0]))
        return self._arrays["components"].astype(np.float32) * self._arrays["idf"][:, None]


def _sublinear(counts: Any) -> Any:
    counts.data = 1 + np.log(counts.data)
    return counts


def _fit_svd(texts: Sequence[str], seed: int) -> dict[str, NDArray[Any]] | None:
    """The state of a truncated SVD; None where the texts share too few n-grams for one."""
    from scipy.sparse import vstack
    from sklearn.utils.extmath import randomized_svd

    counts = vstack([count_ngrams(texts[i : i + _CHUNK]) for i in range(0, len(texts), _CHUNK)]).tocsr()
    frequency = np.bincount(counts.indices, minlength=N_BUCKETS)
    # What occurs once says nothing about any other text; the commonest of the rest carry nearly all of it.
    order = np.argsort(-frequency, kind="stable")[:_BUCKETS_KEPT]
    buckets = np.sort(order[frequency[order] >= 2]).astype(np.int64)
    if len(buckets) <= DIM:
        return None
    idf = (np.log((1 + len(texts)) / (1 + frequency[buckets])) + 1).astype(np.float32)
    weighted = _sublinear(counts)[:, buckets].multiply(idf).tocsr()
    norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1))).ravel()
    weighted = weighted.multiply((1 / np.where(norms > 0, norms, 1))[:, None]).tocsr().astype(np.float32)
    components = randomized_svd(weighted, DIM, n_iter=2, n_oversamples=10, random_state=seed)[2]
    return {"buckets": buckets, "idf": idf, "components": np.ascontiguousarray(components.T.astype(np.float16))}


def _random_projection(seed: int) -> Any:
    """Four signed ones in each bucket's row, drawn by hashing: the same on every machine, (N_BUCKETS, 256) CSR."""
    from scipy.sparse import csr_matrix

    entries = np.arange(N_BUCKETS * _SIGNS_A_BUCKET, dtype=np.uint64)
    hashes = mix(mix(entries + np.uint64(seed)) + entries)
    columns = (hashes % np.uint64(DIM)).astype(np.int32)
    signs = np.where((hashes >> np.uint64(32)) & np.uint64(1), np.float32(1), np.float32(-1))
    rows = np.arange(0, len(entries) + 1, _SIGNS_A_BUCKET, dtype=np.int32)
    return csr_matrix((signs, columns, rows), shape=(N_BUCKETS, DIM))
