"""modAL 0.4.2.1 on today's scikit-learn and numpy, with nothing installed changed.

What modAL trips over, and what is done here:

- ``import modAL`` loads torch (390 MB) to look for tensors that we never hand in: torch is hidden while it loads.
- ``fit`` and ``teach`` pass ``force_all_finite`` to ``check_X_y``, which took the name ``ensure_all_finite`` and then
  dropped the old one: the learner made here checks its input itself.
- ``query`` unpacks what a strategy returns, so of two indices it keeps one and calls the other a metric, and it calls
  a strategy that fails a second time: the learner and the committee made here tell a pair from an array.
- multi-label losses ask the learner for ``classes_``, which it lacks: the one made here passes its estimator's on.
- ``modAL.expected_error`` names ``np.float``, which is gone, in an annotation: it is compiled with annotations left
  unread.
- bootstraps are drawn from numpy's global state: ours are drawn before, from the generator that is handed in.
"""

from __future__ import annotations
import __future__

import importlib.util
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sampler.errors import InvalidInput
from sampler.imports import load_without_torch
from sampler.scores import IntArray


@cache
def load_modal() -> ModuleType:
    """``modAL.models``, loaded without torch."""
    return load_without_torch("modAL.models")


@cache
def modal_module(name: str) -> ModuleType:
    """``modAL.NAME``: ``uncertainty``, ``disagreement``, ``batch``, ``density``, ``multilabel``, ``expected_error``."""
    load_modal()
    return _expected_error() if name == "expected_error" else load_without_torch(f"modAL.{name}")


def _expected_error() -> ModuleType:
    spec = importlib.util.find_spec("modAL.expected_error")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("modAL.expected_error", name="modAL.expected_error")
    module = ModuleType("modAL.expected_error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # it compares strings with "is"
        code = compile(
            Path(spec.origin).read_text(encoding="utf-8"),
            spec.origin,
            "exec",
            flags=__future__.annotations.compiler_flag,
            dont_inherit=True,
        )
    exec(code, module.__dict__)  # noqa: S102  # the installed file itself, as an import would run it
    return module


def queried(query: Any, learner: Any, X_pool: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    """What a modAL query strategy returns, as indices and metrics; metrics are None where it has none.

    >>> queried(lambda learner, X: np.array([4, 2]), None, None)
    (array([4, 2]), None)
    >>> queried(lambda learner, X: (np.array([4, 2]), np.array([0.9, 0.8])), None, None)[1]
    array([0.9, 0.8])
    """
    result = query(learner, X_pool, *args, **kwargs)
    if isinstance(result, tuple) and len(result) == 2 and np.shape(result[0]) == np.shape(result[1]):
        return result
    return result, None


def _query(self: Any, X_pool: Any, *args: Any, return_metrics: bool = False, **kwargs: Any) -> tuple[Any, ...]:
    """The query of learner and committee: the strategy is called once, and all that it returns is kept."""
    from modAL.utils.data import retrieve_rows

    positions, metrics = queried(self.query_strategy, self, X_pool, *args, **kwargs)
    items = retrieve_rows(X_pool, positions)
    return (positions, items, metrics) if return_metrics else (positions, items)


@cache
def learner_class() -> type[Any]:
    """The ``ActiveLearner`` of modAL with a ``fit``, a ``teach`` and a ``query`` that work today."""
    base: type[Any] = load_modal().ActiveLearner

    class Learner(base):  # type: ignore[misc]  # the base is only known once modAL is loaded
        """An ActiveLearner whose input is checked by us."""

        query = _query

        @property
        def classes_(self) -> Any:
            """What multi-label strategies ask a learner for."""
            return self.estimator.classes_

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


@cache
def committee_class() -> type[Any]:
    """The ``Committee`` of modAL with a ``query`` that keeps all that a strategy returns."""
    base: type[Any] = load_modal().Committee

    class Panel(base):  # type: ignore[misc]  # as above
        """A Committee; its learners check their input."""

        query = _query

    return Panel


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
    return committee_class()(learner_list=learners)
