"""scikit-activeml's query strategies as strategies of ours; an extra (``peers``), loaded when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from sampler import reasons
from sampler.committee import canonical_classes
from sampler.imports import call_of_peer, load_without_torch
from sampler.modal_learners import MOST_ROWS
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.scores import IntArray
from sampler.strategies.registry import checked
from sampler.strategies.spread import completed, sample
from sampler.strategies.stretches import positions_in_stretches

EXTRA = "peers"
_REGULARISATION = 10.0
_ITERATIONS = 100
_MEMBERS = 5
_UNCERTAINTY = {"least_confident": "least_confident", "margin_sampling": "margin_sampling", "entropy": "entropy"}
_WITHOUT_MODEL = ("RandomSampling", "CoreSet", "TypiClust", "ProbCover", "MaxHerding", "GreedySamplingX", "Quire")
_ENSEMBLES = ("QueryByCommittee", "GreedyBALD", "BatchBALD")
# Cubic in the pool, or a model for each candidate and class.
_FEWER_ROWS = {"Quire": 300, "MonteCarloEER": 24, "BatchBALD": 500}
# Whether a call of theirs fits the model that it is handed. MonteCarloEER fits one for each candidate anyway.
_FITS = ("fit_clf", "fit_ensemble", "fit_estimator")
_WHY = reasons.chosen_by("scikit-activeml")


def skactiveml_strategy(name: str) -> QueryStrategy:
    """The strategy ``skactiveml:NAME``; ``name`` is one of `sampler.peers.SKACTIVEML`.

    It works on the labelled rows and at most 2,000 candidates, a seeded sample, with a logistic regression of its own.

    Raises:
        MissingExtra: scikit-activeml is not installed.
    """
    pool = load_without_torch("skactiveml.pool", extra=EXTRA)

    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        if name not in _WITHOUT_MODEL and len(np.unique(ctx.y)) < 2:
            return completed(ctx, [], [], [], size, seed)
        positions = sample(ctx, seed, _FEWER_ROWS.get(name, MOST_ROWS))
        m = len(positions)
        X = np.concatenate([ctx.points(ctx.candidates[positions]), ctx.points(ctx.labeled)])
        y = np.full(len(X), np.nan)
        classes = canonical_classes(ctx.labeled, ctx.y)
        y[m:] = classes
        n_classes = int(classes.max()) + 1 if len(classes) else 1
        query = _query(pool, name, n_classes, seed)

        def select(left: IntArray, n: int, turn: int) -> IntArray:
            if len(left) <= 1 or not np.ptp(X[left], axis=0).any():
                return np.arange(len(left))[:n]  # nothing to choose between: some of theirs fail on it
            with call_of_peer(seed + turn):
                chosen = np.asarray(query(X, y, left, n), dtype=np.int64)
            return np.searchsorted(left, chosen)

        picks = positions_in_stretches(m, size, ctx.batch_size, select)
        scores = 1.0 / (1.0 + np.arange(len(picks)))
        return completed(ctx, [positions[picks]], [scores], [_WHY] * len(picks), size, seed)

    return checked(f"skactiveml:{name}", body)


def _query(pool: Any, name: str, n_classes: int, seed: int) -> Callable[[Any, Any, Any, int], Any]:
    """``(X, y, candidates, n) -> indices`` of one of their strategies with what it asks for."""
    state = seed % (1 << 31)
    common: dict[str, Any] = {"random_state": state}
    if name in _UNCERTAINTY:
        strategy = pool.UncertaintySampling(method=_UNCERTAINTY[name], **common)
    elif name == "Quire":
        strategy = pool.Quire(classes=list(range(n_classes)), **common)
    elif name == "ProbCover":
        strategy = pool.ProbCover(n_classes=max(2, n_classes), **common)
    else:
        strategy = getattr(pool, name)(**common)
    more = _models(name, n_classes, state)
    fits = [option for option in signature(strategy.query).parameters if option in _FITS and name != "MonteCarloEER"]

    def query(X: Any, y: Any, candidates: Any, n: int) -> Any:
        if fits and fits[0] not in more:  # the labels are the same for each batch of a ranking, and so is the model
            [model] = more.values()
            model.fit(X, y)
            more[fits[0]] = False
        return strategy.query(X, y, candidates=candidates, batch_size=n, **more)

    return query


def _models(name: str, n_classes: int, state: int) -> dict[str, Any]:
    if name in _WITHOUT_MODEL:
        return {}
    if name in _ENSEMBLES:
        return {"ensemble": _wrapped(_bagging(state), n_classes, state)}
    if name == "ProbabilisticAL":
        classifier = load_without_torch("skactiveml.classifier", extra=EXTRA)
        window = classifier.ParzenWindowClassifier(classes=list(range(n_classes)), random_state=state)
        return {"clf": window}
    key = {"DiscriminativeAL": "discriminator", "Clue": "estimator"}.get(name, "clf")
    return {key: _wrapped(_logistic(), 2 if name == "DiscriminativeAL" else n_classes, state)}


def _wrapped(model: Any, n_classes: int, state: int) -> Any:
    classifier = load_without_torch("skactiveml.classifier", extra=EXTRA)
    return classifier.SklearnClassifier(model, classes=list(range(n_classes)), random_state=state)


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=_REGULARISATION, max_iter=_ITERATIONS, tol=1e-3)


def _bagging(state: int) -> Any:
    from sklearn.ensemble import BaggingClassifier

    return BaggingClassifier(_logistic(), n_estimators=_MEMBERS, random_state=state)
