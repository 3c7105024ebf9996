"""The same rankings by modAL, scikit-activeml and small-text: on all of the pool, float32, models fitted before."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.rank_pool import RankPool
from sampler.committee import bootstrap
from sampler.imports import load_without_torch
from sampler.modal import committee_of, learner_class, modal_module
from sampler.small_text_strategies import Rows

Picks = Callable[[], object]

N_MEMBERS = 5
PEERS: dict[str, tuple[str, ...]] = {
    "random": ("scikit-activeml RandomSampling", "small-text RandomSampling"),
    "least_confidence": (
        "modAL uncertainty_sampling",
        "scikit-activeml least_confident",
        "small-text LeastConfidence",
    ),
    "margin": ("modAL margin_sampling", "scikit-activeml margin_sampling", "small-text BreakingTies"),
    "entropy": ("modAL entropy_sampling", "scikit-activeml entropy", "small-text PredictionEntropy"),
    "vote_entropy": ("modAL vote_entropy_sampling", "scikit-activeml vote_entropy"),
    "consensus_entropy": ("modAL consensus_entropy_sampling",),
    "kl_max": ("modAL max_disagreement_sampling", "scikit-activeml KL_divergence"),
    "bald": ("scikit-activeml GreedyBALD", "small-text BALD"),
    "expected_error": ("modAL expected_error_reduction", "scikit-activeml MonteCarloEER"),
    "density": ("modAL information_density",),
    "coreset": ("scikit-activeml CoreSet", "small-text GreedyCoreset"),
    "typiclust": ("scikit-activeml TypiClust",),
    "herding": ("scikit-activeml MaxHerding",),
    "probcover": ("scikit-activeml ProbCover",),
    "kmeans": ("small-text EmbeddingKMeans",),
    "badge": ("scikit-activeml Badge", "small-text BADGE"),
    "ranked_batch": ("modAL uncertainty_batch_sampling",),
    "dropquery": ("scikit-activeml DropQuery",),
}
"""What each library has of our strategies. scikit-activeml's KL_divergence is the mean over members, not the largest;
small-text's BADGE leaves the label out of the gradient."""
FITS_FOR_EACH_CANDIDATE = ("modAL expected_error_reduction", "scikit-activeml MonteCarloEER")


class PeerRuns:
    """Peers' rankings of one pool; models are fitted when first asked for."""

    def __init__(self, pool: RankPool, batch: int):
        self._X = np.asarray(pool.X).astype(np.float32)
        self._pool, self._batch = pool, batch
        self._fitted: dict[str, Any] = {}

    def run(self, name: str) -> Picks:
        """What to time for ``LIBRARY NAME``, one of `PEERS`.

        Raises:
            MissingExtra: The library is not installed.
        """
        library, _, strategy = name.partition(" ")
        makers = {"modAL": self._modal, "scikit-activeml": self._skactiveml, "small-text": self._small_text}
        return _quiet(_quiet(lambda: makers[library](strategy))())

    # --- modAL: a learner asked about the pool -----------------------------------------------------------------------

    def _modal(self, name: str) -> Picks:
        pool, n = self._candidates(), self._batch
        if name == "information_density":
            density = modal_module("density").information_density
            return lambda: np.argpartition(density(pool), -n)[-n:]
        module = next(m for m in _MODAL_MODULES if hasattr(modal_module(m), name))
        query = getattr(modal_module(module), name)
        learner = self._kept("modal committee" if module == "disagreement" else "modal learner")
        return lambda: query(learner, pool, n_instances=n)

    # --- scikit-activeml: labelled and unlabelled rows together ------------------------------------------------------

    def _skactiveml(self, name: str) -> Picks:
        strategies = load_without_torch("skactiveml.pool", extra="peers")
        X, y = self._X, np.full(len(self._X), np.nan)
        y[self._pool.labeled] = self._pool.y
        common: dict[str, Any] = {"random_state": 0}
        more: dict[str, Any] = {}
        if name in _SKACTIVEML_UNCERTAINTY:
            strategy = strategies.UncertaintySampling(method=name, **common)
        elif name in ("vote_entropy", "KL_divergence"):
            strategy = strategies.QueryByCommittee(method=name, **common)
        elif name == "ProbCover":
            strategy = strategies.ProbCover(n_classes=self._pool.n_classes, **common)
        else:
            strategy = getattr(strategies, name)(**common)
        if name in ("vote_entropy", "KL_divergence", "GreedyBALD"):
            more = {"ensemble": self._kept("skactiveml committee"), "fit_ensemble": False}
        elif name in (*_SKACTIVEML_UNCERTAINTY, "Badge", "DropQuery"):
            more = {"clf": self._kept("skactiveml learner"), "fit_clf": False}
        elif name == "MonteCarloEER":
            more = {"clf": self._kept("skactiveml learner")}
        return lambda: strategy.query(X, y, candidates=self._pool.candidates, batch_size=self._batch, **more)

    # --- small-text: a classifier that embeds and predicts -----------------------------------------------------------

    def _small_text(self, name: str) -> Picks:
        if name == "BADGE":  # theirs lies beside those that need torch
            from small_text.integrations.pytorch.query_strategies import BADGE

            strategy: Any = BADGE(self._pool.n_classes)
        elif name == "BALD":
            strategy = load_without_torch("small_text.query_strategies", extra="peers").BALD(dropout_samples=N_MEMBERS)
        else:
            strategy = getattr(load_without_torch("small_text.query_strategies", extra="peers"), name)()
        classifier = SmallTextClassifier(self._X, self._kept("learner"), self._kept("committee"))
        everything = Rows(np.arange(len(self._X)))
        pool = self._pool
        return lambda: strategy.query(classifier, everything, pool.candidates, pool.labeled, pool.y, n=self._batch)

    # --- models ------------------------------------------------------------------------------------------------------

    def _candidates(self) -> NDArray[np.float32]:
        if "candidates" not in self._fitted:
            self._fitted["candidates"] = self._X[self._pool.candidates]
        rows: NDArray[np.float32] = self._fitted["candidates"]
        return rows

    def _kept(self, what: str) -> Any:
        if what not in self._fitted:
            self._fitted[what] = self._made(what)
        return self._fitted[what]

    def _made(self, what: str) -> Any:
        X, y = self._X[self._pool.labeled], self._pool.y
        rng = np.random.default_rng(0)
        drawn = [bootstrap(y, rng) for _ in range(N_MEMBERS)]
        if what == "learner":
            return _logistic().fit(X, y)
        if what == "committee":
            return [_logistic().fit(X[d], y[d]) for d in drawn]
        if what == "modal learner":
            return learner_class()(estimator=_logistic(), X_training=X, y_training=y)
        if what == "modal committee":
            return committee_of([(_logistic(), X[d], y[d]) for d in drawn])
        wrapper = load_without_torch("skactiveml.classifier", extra="peers").SklearnClassifier
        classes = list(range(self._pool.n_classes))
        if what == "skactiveml learner":
            return wrapper(_logistic(), classes=classes, random_state=0).fit(X, y)
        return [wrapper(_logistic(), classes=classes, random_state=0).fit(X[d], y[d]) for d in drawn]


_MODAL_MODULES = ("uncertainty", "disagreement", "batch", "expected_error")
_SKACTIVEML_UNCERTAINTY = ("least_confident", "margin_sampling", "entropy")


def _quiet(run: Callable[[], Any]) -> Callable[[], Any]:
    """Without their warnings, of defaults that changed and of fits that did not converge."""

    def quiet() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run()

    return quiet


class SmallTextClassifier:
    """What small-text calls a classifier: fitted scikit-learn models behind its interface."""

    def __init__(self, X: NDArray[np.float32], model: Any, members: list[Any]):
        self._X, self._model, self._members = X, model, members

    def predict_proba(self, dataset: Rows, *, dropout_sampling: int = 1) -> NDArray[np.floating[Any]]:
        """Shape ``(n, n_classes)``; ``(n, members, n_classes)`` where samples of it are asked for."""
        everything = len(dataset) == len(self._X)  # in order: no copy is laid at their door
        rows = self._X if everything else self._X[dataset.rows]
        if dropout_sampling > 1:
            return np.stack([member.predict_proba(rows) for member in self._members], axis=1)
        answers: NDArray[np.floating[Any]] = self._model.predict_proba(rows)
        return answers

    def embed(self, dataset: Rows, *, return_proba: bool = False, pbar: Any = None) -> Any:
        """The features, and the probabilities with them where asked for."""
        rows = self._X[dataset.rows]
        return (rows, self.predict_proba(dataset)) if return_proba else rows


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=1_000)
