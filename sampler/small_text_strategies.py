"""small-text's query strategies as strategies of ours; an extra (``peers``), loaded when one is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.imports import call_of_peer, load_without_torch
from sampler.modal_learners import MOST_ROWS
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import checked, probabilities_of
from sampler.strategies.spread import completed, sample
from sampler.strategies.stretches import positions_in_stretches

EXTRA = "peers"
_BY_PROBABILITY = ("BreakingTies", "LeastConfidence", "PredictionEntropy", "ContrastiveActiveLearning")
_NEED_LABELS = ("GreedyCoreset",)  # it measures distances to them
_WHY = reasons.chosen_by("small-text")
_NEIGHBOURS = 10


class Rows:
    """A data set of theirs: feature rows by index."""

    def __init__(self, rows: IntArray):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Rows:
        return Rows(self.rows[index])


class Answers:
    """A classifier of theirs that answers with the project's features and probabilities, for any `Rows`."""

    def __init__(self, features: NDArray[np.float32], probabilities: FloatArray | None):
        self._features = features
        self._probabilities = probabilities

    def predict_proba(self, dataset: Rows) -> FloatArray | None:
        """Shape ``(len(dataset), n_classes)``."""
        return None if self._probabilities is None else self._probabilities[dataset.rows]

    def embed(self, dataset: Rows, *, return_proba: bool = False, pbar: Any = None) -> Any:
        """The features, and the probabilities with them where asked for."""
        return (self._features[dataset.rows], self.predict_proba(dataset)) if return_proba else None


def small_text_strategy(name: str) -> QueryStrategy:
    """The strategy ``small_text:NAME``; ``name`` is one of `sampler.peers.SMALL_TEXT`.

    It works on the labelled rows and at most 2,000 candidates, a seeded sample, and on the project's probabilities.

    Raises:
        MissingExtra: small-text is not installed.
    """
    strategies = load_without_torch("small_text.query_strategies", extra=EXTRA)

    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        if (name in _NEED_LABELS and len(ctx.labeled) == 0) or (name in _BY_PROBABILITY and ctx.n_classes == 1):
            return completed(ctx, [], [], [], size, seed)
        positions = sample(ctx, seed, MOST_ROWS)
        m = len(positions)
        features = np.concatenate([ctx.points(ctx.candidates[positions]), ctx.points(ctx.labeled)])
        answers = Answers(features, _answers(ctx, positions) if ctx.probabilities is not None else None)

        def select(left: IntArray, n: int, turn: int) -> IntArray:
            # Theirs take all that is left as it comes, and fail where neighbours are fewer than they look for.
            if len(left) <= max(n, _NEIGHBOURS):
                return np.arange(len(left))[:n]
            everything, labeled = Rows(np.arange(len(features))), np.arange(m, len(features))
            with call_of_peer(seed + turn):
                chosen = _made(strategies, name).query(answers, everything, left, labeled, ctx.y, n=n)
            return np.searchsorted(left, np.asarray(chosen, dtype=np.int64))

        picks = positions_in_stretches(m, size, ctx.batch_size, select)
        scores = 1.0 / (1.0 + np.arange(len(picks)))
        return completed(ctx, [positions[picks]], [scores], [_WHY] * len(picks), size, seed)

    return checked(f"small_text:{name}", body, *(("probabilities",) if name in _BY_PROBABILITY else ()))


def _made(strategies: Any, name: str) -> Any:
    options = {"pbar": None} if name == "ContrastiveActiveLearning" else {}
    return getattr(strategies, name)(**options)


def _answers(ctx: QueryContext, positions: IntArray) -> FloatArray:
    """Probabilities of the candidates looked at, then the labelled rows' own classes."""
    known = np.eye(ctx.n_classes)[ctx.y]
    return np.concatenate([probabilities_of(ctx)[positions].astype(np.float64), known])
