"""From an operator's entry to an unfitted classifier: of scikit-learn, or a modAL learner around such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import UnusableClassifier
from models.registered import Build, build_classifier
from sampler.errors import SamplerError
from sampler.modal import committee_of, learner_class

_LEARNER, _COMMITTEE = "modAL.models.ActiveLearner", "modAL.models.Committee"


def make_build(name: str, entry: Mapping[str, Any]) -> Build:
    """What makes the classifier of an entry from a seed; one is made at once, so that a bad entry is found here.

    ``{"class": "modAL.models.ActiveLearner", "params": {"estimator": {…}}}`` is the learner around that estimator,
    ``{"class": "modAL.models.Committee", "params": {"learners": [{…}, …]}}`` the mean of several, each with a seed of
    its own.

    Args:
        name: ``sklearn:NAME``, for errors.
        entry: ``{"class", "params"}`` from the operator's environment.

    Raises:
        UnusableClassifier: It cannot be built.
    """
    build = _build_of(name, entry)
    build(0)
    return build


def _build_of(name: str, entry: Mapping[str, Any]) -> Build:
    params = dict(entry.get("params") or {})
    if entry.get("class") == _LEARNER:
        builds = [_inner(name, params.get("estimator"), _LEARNER)]
        taken = {"estimator"}
    elif entry.get("class") == _COMMITTEE:
        learners = params.get("learners")
        if not isinstance(learners, list | tuple) or not learners:
            raise UnusableClassifier(name, f"{_COMMITTEE} takes learners: a list of entries")
        builds = [_inner(name, learner, _COMMITTEE) for learner in learners]
        taken = {"learners"}
    else:
        return lambda seed: build_classifier(name, entry, seed)
    if unknown := set(params) - taken:
        raise UnusableClassifier(
            name, f"{entry['class']} takes {' and '.join(sorted(taken))} here, not {sorted(unknown)}"
        )
    alone = entry["class"] == _LEARNER
    return lambda seed: ModalClassifier([build(seed + place) for place, build in enumerate(builds)], alone=alone)


def _inner(name: str, entry: Any, outer: str) -> Callable[[int], Any]:
    if not isinstance(entry, Mapping):
        raise UnusableClassifier(name, f"{outer} is made of entries: objects with class and params")
    if entry.get("class") == _LEARNER:  # a committee may list learners, or the estimators that these are around
        return _inner(name, (entry.get("params") or {}).get("estimator"), _LEARNER)
    build: Callable[[int], Any] = lambda seed: build_classifier(name, entry, seed)  # noqa: E731
    if not hasattr(build(0), "predict_proba"):
        raise UnusableClassifier(name, f"modAL asks its estimators for probabilities, which {entry['class']} has not")
    return build


class ModalClassifier:
    """A learner or a committee of modAL with the three things that a member asks a classifier for."""

    def __init__(self, estimators: list[Any], *, alone: bool):
        self._estimators, self._alone = estimators, alone
        self._learner: Any = None

    @property
    def classes_(self) -> NDArray[np.int64]:
        """The classes of the labels that it was fitted on, ascending."""
        return np.asarray(self._learner.classes_, dtype=np.int64)

    def fit(self, X: NDArray[np.float32], y: NDArray[np.int64]) -> ModalClassifier:
        """Fit every estimator on all rows. Raises ValueError where modAL does not take them."""
        try:
            if self._alone:
                self._learner = learner_class()(estimator=self._estimators[0], X_training=X, y_training=y)
            else:
                self._learner = committee_of([(estimator, X, y) for estimator in self._estimators])
        except SamplerError as error:
            raise ValueError(str(error)) from error
        return self

    def predict_proba(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities, (n, len(classes_)); a committee's are the mean of its learners'."""
        return np.asarray(self._learner.predict_proba(X), dtype=np.float64)
