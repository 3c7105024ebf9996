"""modAL's own query strategies as strategies of ours.

Where modAL computes a measure for each item, all of it is asked for and ranked here: its own selection of the top k is
unordered and leaves ties to the place in the array. The measures themselves are modAL's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.batch import best_first
from sampler.committee import canonical_classes, fit_committee
from sampler.diversity import gather
from sampler.imports import call_of_peer
from sampler.modal import learner_class, load_modal, modal_module, queried
from sampler.modal_learners import MOST_ROWS, from_modal_learner
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import checked, probabilities_of
from sampler.strategies.spread import completed, sample
from sampler.strategies.stretches import positions_in_stretches

_CHUNK_ROWS = 16_384
_MOST_FITS = 120  # expected error reduction fits a model for each candidate and class
_REGULARISATION = 10.0
_ITERATIONS = 100
_WHY = reasons.chosen_by("modAL")

# Which way each measure points: +1 where modAL takes the largest.
_UNCERTAINTY = {"uncertainty_sampling": 1.0, "margin_sampling": -1.0, "entropy_sampling": 1.0}
_DISAGREEMENT = ("vote_entropy_sampling", "consensus_entropy_sampling", "max_disagreement_sampling")
_MULTILABEL = {
    "max_loss": 1.0,
    "mean_max_loss": 1.0,
    "min_confidence": -1.0,
    "avg_confidence": 1.0,
    "max_score": 1.0,
    "avg_score": 1.0,
}


def modal_strategy(name: str) -> QueryStrategy:
    """The strategy ``modal:NAME``; ``name`` is one of `sampler.peers.MODAL`."""
    full = f"modal:{name}"
    if name in _UNCERTAINTY:
        return checked(full, _by_uncertainty(name), "probabilities")
    if name in ("ActiveLearner", "Committee"):
        return _default_learner(full, name)
    bodies = {
        "uncertainty_batch_sampling": _ranked_batch,
        "information_density": _density,
        "expected_error_reduction": _expected_error,
        "SVM_binary_minimum": _svm_minimum,
    }
    if name in bodies:
        needs = ("probabilities",) if name == "uncertainty_batch_sampling" else ()
        return checked(full, bodies[name], *needs)
    return checked(full, _by_disagreement(name) if name in _DISAGREEMENT else _by_labels(name))


class Answers:
    """Stands where modAL wants a fitted learner, and answers with the project's own probabilities."""

    on_transformed = False

    def __init__(self, probabilities: FloatArray, X_training: NDArray[np.float32] | None = None):
        self._probabilities = probabilities.astype(np.float64)
        self.X_training = X_training

    def predict_proba(self, X: NDArray[np.float32]) -> FloatArray:
        """The probabilities of the rows that it was made for, in their order."""
        if len(X) != len(self._probabilities):
            raise ValueError(f"made for {len(self._probabilities)} rows, asked about {len(X)}")
        return self._probabilities


class Votes:
    """Stands where modAL wants a committee, and answers with members' probabilities (members, m, n_classes)."""

    def __init__(self, committee: FloatArray):
        self._committee = committee.astype(np.float64)
        self.classes_ = np.arange(committee.shape[2])

    def __len__(self) -> int:
        return len(self._committee)

    def __iter__(self) -> Any:
        return iter(self._committee)

    def vote(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        """Shape ``(m, members)``."""
        votes: NDArray[np.int64] = self._committee.argmax(axis=2).T
        return votes

    def vote_proba(self, X: NDArray[np.float32]) -> FloatArray:
        """Shape ``(m, members, n_classes)``."""
        return np.moveaxis(self._committee, 0, 1)

    def predict_proba(self, X: NDArray[np.float32]) -> FloatArray:
        """Shape ``(m, n_classes)``."""
        mean: FloatArray = self._committee.mean(axis=0)
        return mean


def measure_of(query: Callable[..., Any], learner: Any, X: NDArray[np.float32]) -> FloatArray:
    """What a modAL query strategy ranks by, for each row of ``X``: shape ``(n,)``, in modAL's direction.

    It hands out the measure with the indices; asked for all of them, they can be put back in their places.
    """
    n = len(X)
    values = np.empty(n)
    if n:
        positions, metrics = queried(query, learner, X, n_instances=n)
        values[positions] = metrics
    return values


def _ranked(ctx: QueryContext, scores: FloatArray, size: int, seed: int) -> Ranking:
    picks = best_first(scores, ctx.candidates, size, seed)
    return Ranking(ctx.candidates[picks], scores[picks], [_WHY] * len(picks))


def _by_uncertainty(name: str) -> Callable[[QueryContext, int, int], Ranking]:
    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        query, p = getattr(modal_module("uncertainty"), name), probabilities_of(ctx)
        scores = np.empty(len(p))
        for start in range(0, len(p), _CHUNK_ROWS):
            part = p[start : start + _CHUNK_ROWS]
            rows = np.empty((len(part), 0), np.float32)  # modAL hands them on to the learner, which needs none
            scores[start : start + _CHUNK_ROWS] = _UNCERTAINTY[name] * measure_of(query, Answers(part), rows)
        return _ranked(ctx, scores, size, seed)

    return body


def _by_disagreement(name: str) -> Callable[[QueryContext, int, int], Ranking]:
    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        query = getattr(modal_module("disagreement"), name)
        fitted = None
        if ctx.committee is None:
            if not _two_classes(ctx):
                return completed(ctx, [], [], [], size, seed)
            rng = np.random.default_rng(seed)
            fitted = fit_committee(ctx.features, ctx.labeled, canonical_classes(ctx.labeled, ctx.y), rng)
        scores = np.empty(len(ctx.candidates))
        for start in range(0, len(scores), _CHUNK_ROWS):
            part = slice(start, start + _CHUNK_ROWS)
            X = gather(ctx.features, ctx.candidates[part])
            panel = fitted if ctx.committee is None else Votes(ctx.committee[:, part])
            scores[part] = measure_of(query, panel, X)
        return _ranked(ctx, scores, size, seed)

    return body


def _by_labels(name: str) -> Callable[[QueryContext, int, int], Ranking]:
    """Multi-label strategies: one model a class, each against the rest."""

    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        if not _two_classes(ctx):
            return completed(ctx, [], [], [], size, seed)
        query, learner = getattr(modal_module("multilabel"), name), _one_against_rest(ctx)
        scores = np.empty(len(ctx.candidates))
        for start in range(0, len(scores), _CHUNK_ROWS):
            X = ctx.points(ctx.candidates[start : start + _CHUNK_ROWS])
            scores[start : start + _CHUNK_ROWS] = _MULTILABEL[name] * measure_of(_untied(query), learner, X)
        return _ranked(ctx, scores, size, seed)

    return body


def _untied(query: Callable[..., Any]) -> Callable[..., Any]:
    """``max_score`` shuffles by default, from numpy's global state: ties are ours to decide."""
    return lambda learner, X, n_instances: query(learner, X, n_instances, random_tie_break=False)


def _two_classes(ctx: QueryContext) -> bool:
    return len(np.unique(ctx.y)) > 1


def _logistic() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=_REGULARISATION, max_iter=_ITERATIONS, tol=1e-3)


def _one_against_rest(ctx: QueryContext) -> Any:
    from sklearn.multiclass import OneVsRestClassifier

    y = canonical_classes(ctx.labeled, ctx.y)
    columns = np.eye(int(y.max()) + 1, dtype=np.int64)[y]
    model = OneVsRestClassifier(_logistic())
    return learner_class()(estimator=model, X_training=ctx.points(ctx.labeled), y_training=columns)


def _ranked_batch(ctx: QueryContext, size: int, seed: int) -> Ranking:
    positions = sample(ctx, seed, MOST_ROWS)
    X = ctx.points(ctx.candidates[positions])
    covered = ctx.points(ctx.covered)
    answers = Answers(probabilities_of(ctx)[positions], covered if len(covered) else None)
    query = modal_module("batch").uncertainty_batch_sampling
    uncertainty = 1.0 - probabilities_of(ctx)[positions].max(axis=1).astype(np.float64)
    # Each pick costs a pass over all distances: a few batches are asked for, what follows goes by uncertainty.
    n_batch = min(len(X), 4 * ctx.batch_size)
    picked, _ = queried(query, answers, X, n_instances=n_batch)
    _, first = np.unique(picked, return_index=True)  # without labels, modAL takes its first pick twice
    picked = picked[np.sort(first)]
    left = np.delete(np.arange(len(X)), picked)
    rest = left[best_first(uncertainty[left], ctx.candidates[positions[left]], len(left), seed)]
    picks = np.concatenate([picked, rest])[:size]
    return completed(ctx, [positions[picks]], [uncertainty[picks]], [_WHY] * len(picks), size, seed)


def _density(ctx: QueryContext, size: int, seed: int) -> Ranking:
    positions = sample(ctx, seed, MOST_ROWS)
    scores = modal_module("density").information_density(ctx.points(ctx.candidates[positions]))
    return _sampled(ctx, positions, np.asarray(scores, dtype=np.float64), size, seed)


def _expected_error(ctx: QueryContext, size: int, seed: int) -> Ranking:
    if not _two_classes(ctx):
        return completed(ctx, [], [], [], size, seed)
    y = canonical_classes(ctx.labeled, ctx.y)
    positions = sample(ctx, seed, max(2, _MOST_FITS // (int(y.max()) + 1)))
    X = ctx.points(ctx.candidates[positions])
    if len(X) < 2:  # modAL predicts for the rest of the pool, and there is none
        return completed(ctx, [], [], [], size, seed)
    learner = learner_class()(estimator=_logistic(), X_training=ctx.points(ctx.labeled), y_training=y)
    with call_of_peer(seed):
        errors = measure_of(modal_module("expected_error").expected_error_reduction, learner, X)
    return _sampled(ctx, positions, len(X) - errors, size, seed)


def _sampled(ctx: QueryContext, positions: IntArray, scores: FloatArray, size: int, seed: int) -> Ranking:
    order = best_first(scores, ctx.candidates[positions], size, seed)
    return completed(ctx, [positions[order]], [scores[order]], [_WHY] * len(order), size, seed)


def _svm_minimum(ctx: QueryContext, size: int, seed: int) -> Ranking:
    """ModAL's takes one item a call: it is called again on what is left."""
    if not _two_classes(ctx):
        return completed(ctx, [], [], [], size, seed)
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    y = canonical_classes(ctx.labeled, ctx.y)
    columns = np.eye(int(y.max()) + 1, dtype=np.int64)[y]
    model = OneVsRestClassifier(LinearSVC(random_state=0))
    learner = learner_class()(estimator=model, X_training=ctx.points(ctx.labeled), y_training=columns)
    query = modal_module("multilabel").SVM_binary_minimum
    positions = sample(ctx, seed, MOST_ROWS)
    X = ctx.points(ctx.candidates[positions])

    def select(left: IntArray, n: int, turn: int) -> IntArray:
        places = np.arange(len(left))
        picked = []
        for _ in range(n):
            place = int(query(learner, X[left[places]]))
            picked.append(int(places[place]))
            places = np.delete(places, place)
        return np.array(picked, dtype=np.int64)

    picks = positions_in_stretches(len(X), size, ctx.batch_size, select)
    scores = 1.0 / (1.0 + np.arange(len(picks)))
    return completed(ctx, [positions[picks]], [scores], [_WHY] * len(picks), size, seed)


def _default_learner(full: str, name: str) -> QueryStrategy:
    """ModAL's learners as they come: an ActiveLearner asks by uncertainty, a Committee by vote entropy."""
    learner = learner_class()(estimator=_logistic())
    if name == "ActiveLearner":
        return from_modal_learner(full, learner)
    members = [learner_class()(estimator=_logistic()) for _ in range(3)]
    return from_modal_learner(full, load_modal().Committee(learner_list=members))
