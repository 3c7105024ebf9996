"""Our strategies for modAL's learners, and modAL's learners and query strategies as strategies of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler import reasons
from sampler.committee import bootstrap, canonical_classes
from sampler.errors import InvalidInput
from sampler.imports import call_of_peer
from sampler.modal import committee_of, learner_class, load_modal, queried
from sampler.query import QueryContext, QueryStrategy, Ranking
from sampler.scores import FloatArray, IntArray
from sampler.strategies.registry import checked
from sampler.strategies.spread import completed, sample
from sampler.strategies.stretches import positions_in_stretches

ModalQuery = Callable[..., Any]
"""What modAL calls a query strategy: ``(learner, X_pool, n_instances=…)`` to indices, or to indices and metrics."""

MOST_ROWS = 2_000  # what others compute is often quadratic in the pool: of more, a seeded sample is looked at


def as_modal_query(strategy: QueryStrategy, rng: np.random.Generator) -> Callable[..., tuple[IntArray, FloatArray]]:
    """One of our strategies as a modAL query strategy: ``learner.query(X_pool, n_instances=…)`` then uses it.

    Args:
        strategy: Any registered strategy.
        rng: Decides ties and starts.

    Returns:
        A function ``(learner, X_pool, n_instances=1) -> (positions, scores)`` for an ``ActiveLearner`` or a
        ``Committee`` of classifiers. The pool may be an array, a list, a DataFrame or a sparse matrix.

    Raises:
        InvalidInput: From the function: a regressor, or more than one label an item.
        MissingInput: From the function: the strategy needs probabilities and there is no fitted model.
    """

    def query(learner: Any, X_pool: Any, n_instances: int = 1) -> tuple[IntArray, FloatArray]:
        _refuse_regressors(learner)
        pool, (known, labels) = _dense(learner, X_pool), _known(learner)
        committee = _votes(learner, X_pool)
        classes = _classes(learner)
        probabilities = None
        if classes is not None:
            probabilities = committee.mean(axis=0) if committee is not None else _asked(learner, X_pool)
        y = np.empty(0, np.int64)
        if labels is not None:
            classes = np.unique(labels) if classes is None else classes
            y = np.searchsorted(classes, labels)
        context = QueryContext(
            features=pool if known is None else np.concatenate([pool, known]),
            candidates=np.arange(len(pool)),
            labeled=np.arange(len(pool), len(pool) + len(y)),
            y=np.asarray(y, dtype=np.int64),
            n_classes=1 if classes is None else len(classes),
            probabilities=probabilities,
            committee=committee,
            rng=rng,
            batch_size=max(1, n_instances),
        )
        ranking = strategy.rank(context, n_instances)
        return ranking.rows, ranking.scores

    return query


def _members(learner: Any) -> list[Any]:
    return list(getattr(learner, "learner_list", [learner]))


def _refuse_regressors(learner: Any) -> None:
    from sklearn.base import is_regressor

    for member in _members(learner):
        if is_regressor(member.estimator):
            kind = type(member.estimator).__name__
            raise InvalidInput("learner", f"{kind} is a regressor; these strategies rank by classes, give a classifier")
        labels = getattr(member, "y_training", None)
        if labels is not None and np.ndim(labels) != 1:
            raise InvalidInput(
                "learner", "its labels have more than one column; these strategies take one class an item"
            )


def _array(X: Any) -> NDArray[np.float32]:
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)


def _dense(learner: Any, X: Any) -> NDArray[np.float32]:
    """What the strategies measure distances in: transformed by the learner's pipeline where it was made so."""
    return _array(learner.transform_without_estimating(X) if learner.on_transformed else X)


def _known(learner: Any) -> tuple[NDArray[np.float32] | None, NDArray[Any] | None]:
    """Training rows and labels; of a committee, which keeps none itself, each row of its members once."""
    parts = [(m, m.X_training, m.y_training) for m in _members(learner) if getattr(m, "X_training", None) is not None]
    if not parts:
        return None, None
    X = np.concatenate([_dense(member, rows) for member, rows, _ in parts])
    y = np.concatenate([np.asarray(labels) for _, _, labels in parts])
    if len(parts) == 1:
        return X, y
    _, first = np.unique(X, axis=0, return_index=True)
    first.sort()
    return X[first], y[first]


def _classes(learner: Any) -> NDArray[Any] | None:
    if hasattr(learner, "learner_list"):
        learner._set_classes()  # a member that was taught by itself may have met a new class
        return None if learner.classes_ is None else np.asarray(learner.classes_)
    classes = getattr(learner.estimator, "classes_", None)
    return None if classes is None else np.asarray(classes)


def _votes(learner: Any, X_pool: Any) -> FloatArray | None:
    """Shape ``(members, m, n_classes)``; None where the learner is no committee or not fitted."""
    if not hasattr(learner, "learner_list") or _classes(learner) is None:
        return None
    proba: FloatArray = np.moveaxis(learner.vote_proba(X_pool), 1, 0)
    return proba


def _asked(learner: Any, X_pool: Any) -> FloatArray | None:
    """The probabilities of an estimator that gives them; others (a linear SVM) can serve strategies that need none."""
    if not hasattr(learner.estimator, "predict_proba"):
        return None
    probabilities: FloatArray = np.asarray(learner.predict_proba(X_pool))
    return probabilities


def from_modal_query(name: str, query: ModalQuery, learner: Any) -> QueryStrategy:
    """A modAL query strategy and a learner for it as a strategy of ours, to be used in a project once registered.

    Args:
        name: The name of the new strategy.
        query: Any modAL query strategy, of modAL or your own.
        learner: An ``ActiveLearner`` or a ``Committee``; its estimators are cloned and fitted on the project's labels
            before each ranking (a committee's on a bootstrap each), it itself is left as it is. Classes are numbered
            in the order of their first labels, so that a ranking does not hang on how a project lists them.

    Returns:
        A strategy; ``register`` makes it known by its name. Until labels of two classes are there it draws at random.
        modAL works on at most 2,000 candidates, a seeded sample; what lies beyond them follows at random.

    Raises:
        InvalidInput: A regressor.
    """
    _refuse_regressors(learner)

    def body(ctx: QueryContext, size: int, seed: int) -> Ranking:
        if len(np.unique(ctx.y)) < 2:
            return completed(ctx, [], [], [], size, seed)
        positions = sample(ctx, seed, MOST_ROWS)
        points = ctx.points(ctx.candidates[positions])
        fitted = _fitted(learner, ctx, np.random.default_rng(seed))

        def select(left: IntArray, n: int, turn: int) -> IntArray:
            with call_of_peer(seed + turn):
                picked, _ = queried(query, fitted, points[left], n_instances=n)
            return np.asarray(picked, dtype=np.int64).reshape(-1)

        picks = positions_in_stretches(len(points), size, ctx.batch_size, select)
        scores = 1.0 / (1.0 + np.arange(len(picks)))
        return completed(ctx, [positions[picks]], [scores], [reasons.chosen_by("modAL")] * len(picks), size, seed)

    return checked(name, body)


def from_modal_learner(name: str, learner: Any) -> QueryStrategy:
    """An ``ActiveLearner`` or ``Committee`` with the query strategy that it was made with: see `from_modal_query`."""
    return from_modal_query(name, learner.query_strategy, learner)


def _fitted(learner: Any, ctx: QueryContext, rng: np.random.Generator) -> Any:
    """A learner like the given one, fitted on the context's labels."""
    from sklearn.base import clone

    X, y = ctx.points(ctx.labeled), canonical_classes(ctx.labeled, ctx.y)
    if isinstance(learner, load_modal().Committee) or hasattr(learner, "learner_list"):
        drawn = [bootstrap(y, rng) for _ in learner.learner_list]
        members = [(clone(m.estimator), X[d], y[d]) for m, d in zip(learner.learner_list, drawn, strict=True)]
        return committee_of(members)
    return learner_class()(estimator=clone(learner.estimator), X_training=X, y_training=y)
