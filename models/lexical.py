"""The lexical member: tf-idf of words, word pairs and pieces of words, then multinomial logistic regression.

It reads what an encoder has never seen: part numbers, codes, jargon, another language. Languages written without spaces
are read sign by sign, so that pairs of words are pairs of signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.cross_fit import cross_fit_softmax, spread_softmax
from models.errors import BadInput, NotFitted
from models.evaluate import log_loss
from models.members import FloatArray, IntArray
from models.regularisation import DEFAULT_C, N_FOLDS, deal_folds
from models.softmax import fit_softmax, single_blas_thread
from models.text_memo import TextMemo
from predictor.hashing import hash_texts

BUCKETS = 1 << 17
"""Of each of the two kinds of n-grams; a project's labelled texts fill some ten thousand."""
CHARACTERS = 4
"""Length of the pieces of words: 3 to 5 gave nothing more on AG News and banking77, at twice the cost."""
_LANDMARKS = 600
_C_GRID = (3.0, 30.0, 100.0)
_CHOICE_ROWS, _CHOICE_FOLDS = 800, 3
_MEMO_BYTES = 96 << 20
_COUNT_BITS = 8
_LONGEST_KEPT = 24  # letters of a token whose pieces are kept
_CHUNK = 1_024

Texts = Callable[[IntArray], Sequence[str]]


class NgramMemo:
    """Counts of n-grams of texts, of which those that were read before are kept, in at most ``most_bytes``."""

    def __init__(self, most_bytes: int = _MEMO_BYTES):
        self._memo = TextMemo(most_bytes)

    def __len__(self) -> int:
        return len(self._memo)

    def counts(self, texts: Sequence[str]) -> Any:
        """A CSR matrix (n, 2 × BUCKETS) of float32: words and pairs first, then pieces of words. Counts end at 255."""
        from scipy.sparse import csr_matrix

        parts = self._memo.look_up(texts, _read)
        packed = np.concatenate(parts) if parts else np.empty(0, np.uint32)
        ends = np.cumsum([0, *map(len, parts)])
        counts = (packed & ((1 << _COUNT_BITS) - 1)).astype(np.float32)
        return csr_matrix((counts, (packed >> _COUNT_BITS).astype(np.int32), ends), shape=(len(texts), 2 * BUCKETS))


def _read(texts: list[str]) -> list[NDArray[np.uint32]]:
    return [packed for start in range(0, len(texts), _CHUNK) for packed in _packed(texts[start : start + _CHUNK])]


def _packed(texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    """The buckets of each text, ascending, with their counts in the low bits."""
    ids, n_words = hash_texts(texts, BUCKETS)
    found = [list(chain.from_iterable(map(_pieces, text.lower().split()))) for text in texts]
    n_pieces = np.fromiter(map(len, found), np.int64, len(found))
    pieces = np.fromiter(chain.from_iterable(found), np.int64, int(n_pieces.sum()))
    rows = np.arange(len(texts)) * 2 * BUCKETS
    every = np.concatenate([np.repeat(rows, n_words) + ids, np.repeat(rows, n_pieces) + pieces + BUCKETS])
    every.sort()
    first = np.flatnonzero(np.diff(every, prepend=-1))
    counts = np.minimum(np.diff(first, append=len(every)), (1 << _COUNT_BITS) - 1)
    row, bucket = np.divmod(every[first], 2 * BUCKETS)
    packed = ((bucket << _COUNT_BITS) | counts).astype(np.uint32)
    ends = np.searchsorted(row, np.arange(1, len(texts)))
    return np.split(packed, ends) if texts else []


def _pieces(token: str) -> tuple[int, ...]:
    """The buckets of a token's pieces, a space on either side.

    Texts are made of few tokens, so each is cut up once; but where no spaces are written a token is a whole text.
    """
    return _kept_pieces(token) if len(token) <= _LONGEST_KEPT else _cut(token)


@lru_cache(maxsize=1 << 16)
def _kept_pieces(token: str) -> tuple[int, ...]:
    return _cut(token)


def _cut(token: str) -> tuple[int, ...]:
    marked = f" {token} ".encode("utf-32-le", "surrogatepass")
    last = max(1, len(marked) // 4 - CHARACTERS + 1)
    return tuple(crc32(marked[4 * at : 4 * (at + CHARACTERS)]) % BUCKETS for at in range(last))


_MEMO = NgramMemo()
"""Of this process. It changes no result, only what a round on the same pool costs."""


class LexicalMember:
    """Trained from scratch on the texts of the labelled rows.

    The n-grams of at most 600 labelled texts span the space that is learned in: up to there nothing is lost by it
    (the penalty only sees inner products), and beyond it bounds what a round costs (williams2001).
    """

    name = "lexical"

    def __init__(
        self,
        texts: Texts,
        rows: IntArray,
        y: IntArray,
        n_classes: int,
        exploration: NDArray[np.bool_] | None = None,
        *,
        rng: np.random.Generator,
        settings: tuple[float, float] | None = None,
        memo: NgramMemo | None = None,
    ):
        """Reads nothing yet.

        Args:
            texts: The texts of rows of the pool, in their order.
            rows: The labelled rows, (l,).
            y: Their classes, (l,).
            n_classes: Classes of the project.
            exploration: Which were drawn uniformly, as in `models.regularisation.deal_folds`.
            rng: Deals the folds that C and the temperature are chosen by.
            settings: C and temperature, where they were chosen before.
            memo: Where counts are kept; the process's own where None.
        """
        self._texts, self._rows, self._y, self._n_classes = texts, rows, y, n_classes
        self._exploration, self._rng, self._settings = exploration, rng, settings
        self._memo = memo or _MEMO
        self._space: _Space | None = None
        self._weights: tuple[NDArray[np.float32], NDArray[np.float32], IntArray] | None = None

    @property
    def settings(self) -> tuple[float, float]:
        """C and temperature: as they were given, else chosen by cross-validation now."""
        if self._settings is None:
            self._settings = self._chosen()
        return self._settings

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`; the space is that of all labelled texts, whose labels it ignores."""
        C, temperature = self.settings
        return cross_fit_softmax(self._learned_space().rows, self._y, folds, self._n_classes, C, temperature)

    def fit(self) -> None:
        """Train on all labelled rows."""
        C, _ = self.settings
        space = self._learned_space()
        seen, targets = np.unique(self._y, return_inverse=True)
        W, b = fit_softmax(space.rows, targets, len(seen), C)
        self._weights = (space.columns(W), b, seen.astype(np.int64))

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`. Only the texts of ``rows`` are read.

        Raises:
            NotFitted: `fit` was not called.
        """
        return self.of_items(None, self._texts(rows))

    def of_items(self, features: Any, texts: Sequence[str]) -> FloatArray:
        """Probabilities of any texts, (n, n_classes); it sees no features. Raises NotFitted as `predict_proba` does."""
        if self._weights is None:
            raise NotFitted("The lexical teacher")
        columns, b, seen = self._weights
        space, temperature = self._learned_space(), self.settings[1]
        out = np.empty((len(texts), self._n_classes), dtype=np.float32)
        for start in range(0, len(texts), _CHUNK):
            some = texts[start : start + _CHUNK]
            logits = np.asarray(space.weighted(self._memo.counts(some)) @ columns) + b
            out[start : start + len(some)] = spread_softmax(logits, seen, self._n_classes, temperature)
        return out

    def _chosen(self) -> tuple[float, float]:
        """Each C is judged at its own best temperature, on at most 800 labels: it is worth seconds, not minutes."""
        step = max(1, -(-len(self._y) // _CHOICE_ROWS))
        y, Z = self._y[::step], self._learned_space().rows[::step]
        if len(y) < 2 * N_FOLDS or len(np.unique(y)) < 2:
            return DEFAULT_C, 1.0
        explored = None if self._exploration is None else self._exploration[::step]
        folds = deal_folds(y, explored, self._rng)
        folds = np.where(folds < _CHOICE_FOLDS, folds, -1)
        tested = folds >= 0
        found = []
        for C in _C_GRID:
            P = cross_fit_softmax(Z, y, folds, self._n_classes, C, 1.0)[tested]
            temperature = float(np.clip(fit_temperature(P, y[tested]), 0.2, 5.0))
            found.append((log_loss(y[tested], apply_temperature(P, temperature)), C, temperature))
        _, C, temperature = min(found)
        return C, temperature

    def _learned_space(self) -> _Space:
        if self._space is None:
            texts = self._texts(self._rows)
            if not all(isinstance(text, str) for text in texts):
                raise BadInput("A lexical teacher reads texts: choose another teacher for items of other kinds.")
            self._space = _Space(self._memo.counts(texts))
        return self._space


class _Space:
    """Tf-idf of the n-grams that labelled texts have, and an orthonormal base of what some of these span.

    Attributes:
        rows: The labelled texts in it, (l, r) float32; their inner products are those of their tf-idf.
    """

    def __init__(self, counts: Any):
        from sklearn.feature_extraction.text import TfidfTransformer

        self._place = np.full(2 * BUCKETS, -1, dtype=np.int32)
        known = np.unique(counts.indices)
        self._place[known] = np.arange(len(known), dtype=np.int32)
        self._n_known = len(known)
        self._tfidf = TfidfTransformer(sublinear_tf=True)
        X = self._tfidf.fit_transform(self._known(counts)) if len(known) else self._known(counts)
        every = max(1, -(-X.shape[0] // _LANDMARKS))
        self._landmarks = X[::every]
        alike = (X @ self._landmarks.T).toarray().astype(np.float64)
        with single_blas_thread():
            values, vectors = np.linalg.eigh(alike[::every])
            kept = values > 1e-6 * max(float(values[-1]), 1e-12)
            self._base = vectors[:, kept] / np.sqrt(values[kept])
            self.rows: FloatArray = np.asarray(alike @ self._base, dtype=np.float32)

    def weighted(self, counts: Any) -> Any:
        """Tf-idf rows of length 1 over the known n-grams, CSR (n, known)."""
        known = self._known(counts)
        return self._tfidf.transform(known, copy=False) if self._n_known else known

    def columns(self, W: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weights (classes, r) as weights on the known n-grams, (known, classes)."""
        return np.asarray(self._landmarks.T @ (self._base @ W.T.astype(np.float64)), dtype=np.float32)

    def _known(self, counts: Any) -> Any:
        from scipy.sparse import csr_matrix

        places = self._place[counts.indices]
        kept = places >= 0
        ends = np.concatenate([[0], np.cumsum(kept)])[counts.indptr]
        return csr_matrix((counts.data[kept], places[kept], ends), shape=(counts.shape[0], self._n_known))
