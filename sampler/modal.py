"""Both ways between modAL 0.4.2.1 and us, on today's scikit-learn, with nothing installed changed.

What modAL trips over, and what is done here:

- ``import modAL`` loads torch (390 MB) to look for tensors that we never hand in. Its import is guarded, so torch is
  hidden from it while it loads, for the importing thread only.
- ``fit`` and ``teach`` pass ``force_all_finite`` to ``check_X_y``, which took the name ``ensure_all_finite`` and then
  dropped the old one: the learner made here checks its input itself.
- bootstraps are drawn from numpy's global state: ours are drawn before, from the generator that is handed in.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.query import QueryContext, QueryStrategy
from sampler.scores import IntArray


class _WithoutTorch(importlib.abc.MetaPathFinder):
    """Makes ``import torch`` fail in one thread, as if it were not installed."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname == "torch" and threading.get_ident() == self._thread:
            raise ModuleNotFoundError("torch is hidden while modAL loads", name="torch")
        return None


@cache
def load_modal() -> ModuleType:
    """``modAL.models``, loaded without torch."""
    finder = _WithoutTorch()
    sys.meta_path.insert(0, finder)
    try:
        import modAL.models
    finally:
        sys.meta_path.remove(finder)
    models: ModuleType = modAL.models
    return models


@cache
def learner_class() -> type[Any]:
    """The ``ActiveLearner`` of modAL with a ``fit`` and a ``teach`` that work on today's scikit-learn."""
    base: type[Any] = load_modal().ActiveLearner

    class Learner(base):  # type: ignore[misc]  # the base is only known once modAL is loaded
        """An ActiveLearner whose input is checked by us."""

        def _add_training_data(self, X: NDArray[Any], y: NDArray[Any]) -> None:
            _check(X, y)
            known = self.X_training is not None
            self.X_training: Any = np.concatenate([self.X_training, X]) if known else X
            self.y_training: Any = np.concatenate([self.y_training, y]) if known else y

        def fit(self, X: NDArray[Any], y: NDArray[Any], bootstrap: bool = False, **fit_kwargs: Any) -> Learner:
            _check(X, y)
            self.X_training, self.y_training = X, y
            self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)
            return self

        def teach(
            self,
            X: NDArray[Any],
            y: NDArray[Any],
            bootstrap: bool = False,
            only_new: bool = False,
            **fit_kwargs: Any,
        ) -> None:
            if only_new:
                _check(X, y)
                self._fit_on_new(X, y, bootstrap=bootstrap, **fit_kwargs)
            else:
                self._add_training_data(X, y)
                self._fit_to_known(bootstrap=bootstrap, **fit_kwargs)

    return Learner


def _check(X: NDArray[Any], y: NDArray[Any]) -> None:
    if len(X) != len(y) or len(X) == 0:
        raise InvalidInput("X", f"{len(X)} rows do not go with {len(y)} labels")
    if not np.isfinite(np.asarray(X, dtype=np.float64)).all():
        raise InvalidInput("X", "holds NaN or infinity")


def committee_of(members: Sequence[tuple[Any, NDArray[np.float32], IntArray]]) -> Any:
    """A modAL ``Committee`` whose members are fitted here.

    Args:
        members: For each an unfitted scikit-learn classifier, its features ``(l, d)`` and its classes ``(l,)``.
    """
    learner = learner_class()
    learners = [learner(estimator=estimator, X_training=X, y_training=y) for estimator, X, y in members]
    return load_modal().Committee(learner_list=learners)


def as_modal_query(strategy: QueryStrategy, rng: np.random.Generator) -> Callable[..., tuple[IntArray, NDArray[Any]]]:
    """One of our strategies as a modAL query strategy: ``learner.query(X_pool, n_instances=…)`` then uses it.

    Args:
        strategy: Any registered strategy.
        rng: Decides ties and starts.

    Returns:
        A function ``(learner, X_pool, n_instances=1) -> (positions, scores)``.
    """

    def query(learner: Any, X_pool: NDArray[Any], n_instances: int = 1) -> tuple[IntArray, NDArray[Any]]:
        pool = np.asarray(X_pool, dtype=np.float32)
        known = np.empty((0, pool.shape[1]), np.float32) if learner.X_training is None else learner.X_training
        n_known = len(known)
        classes = np.empty(0) if learner.X_training is None else learner.estimator.classes_
        y = np.empty(0, np.int64) if n_known == 0 else np.searchsorted(classes, learner.y_training)
        context = QueryContext(
            features=np.concatenate([pool, np.asarray(known, dtype=np.float32)]),
            candidates=np.arange(len(pool)),
            labeled=np.arange(len(pool), len(pool) + n_known),
            y=np.asarray(y, dtype=np.int64),
            n_classes=max(1, len(classes)),
            probabilities=learner.predict_proba(pool) if n_known else None,
            rng=rng,
            batch_size=n_instances,
        )
        ranking = strategy.rank(context, n_instances)
        return ranking.rows, ranking.scores

    return query
