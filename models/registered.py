"""Classifiers of scikit-learn that the operator registered: built from plain values, refitted in each round.

Nothing is ever pickled or unpickled: what an entry says is built anew with the round's seed, so that the same labels
give the same classifier.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.cross_fit import cross_fit, spread_softmax
from models.errors import NotFitted, UnusableClassifier
from models.half import widen
from models.members import FloatArray, IntArray
from models.regularisation import N_FOLDS, UNSEEN_PROBABILITY, deal_folds

PREFIX = "sklearn:"
_LIBRARY = "sklearn."
_CHUNK = 4_096

Build = Callable[[int], Any]
"""A seed to an unfitted classifier with ``fit``, ``classes_`` and ``predict_proba`` or ``decision_function``."""


def build_classifier(name: str, entry: Mapping[str, Any], seed: int) -> Any:
    """What an entry ``{"class": "sklearn.…", "params": {…}}`` stands for, unfitted.

    Parameters may hold further entries, in lists too: the estimator of a bagging classifier, the steps of a pipeline.

    Args:
        name: What projects call it; errors name it.
        entry: From the operator's environment only.
        seed: Of every ``random_state`` that the entry leaves open.

    Raises:
        UnusableClassifier: No class of scikit-learn, one that is no classifier, or parameters that it does not take.
    """
    from sklearn.base import is_classifier

    made = _built(name, entry)
    if not is_classifier(made):
        raise UnusableClassifier(name, f"{entry['class']} is not a classifier of one class an item")
    if not hasattr(made, "predict_proba") and not hasattr(made, "decision_function"):
        raise UnusableClassifier(name, f"{entry['class']} gives neither probabilities nor a decision function")
    open_seeds = [key for key, value in made.get_params().items() if key.endswith("random_state") and value is None]
    return made.set_params(**dict.fromkeys(open_seeds, seed % (1 << 31)))


def _built(name: str, entry: Mapping[str, Any]) -> Any:
    path = entry.get("class")
    if not isinstance(path, str) or not path.startswith(_LIBRARY):
        raise UnusableClassifier(
            name, f"its class must be a dotted path in scikit-learn, as sklearn.svm.SVC, not {path!r}"
        )
    params = {key: _value(name, value) for key, value in dict(entry.get("params") or {}).items()}
    try:
        return _class(name, path)(**params)
    except (TypeError, ValueError) as error:
        raise UnusableClassifier(name, f"{path} does not take these parameters: {error}") from error


def _class(name: str, path: str) -> type[Any]:
    from sklearn.base import BaseEstimator

    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnusableClassifier(name, f"there is no {path}") from error
    if not isinstance(found, type) or not issubclass(found, BaseEstimator):
        raise UnusableClassifier(name, f"{path} is not an estimator")
    return found


def _value(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _built(name, value) if "class" in value else {key: _value(name, one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        # Steps of a pipeline and members of a vote are pairs of a name and an estimator.
        made = [_value(name, one) for one in value]
        return tuple(made) if len(made) == 2 and isinstance(made[0], str) else made
    return value


class RegisteredMember:
    """A registered classifier on the features that the head sees, on the head's scale.

    Scores of a decision function become probabilities by a softmax; either kind is calibrated by a temperature that
    cross-validation chose.
    """

    def __init__(
        self,
        name: str,
        build: Build,
        features: Any,
        scaling: tuple[FloatArray, FloatArray],
        rows: IntArray,
        y: IntArray,
        n_classes: int,
        exploration: NDArray[np.bool_] | None = None,
        *,
        seed: int,
        settings: tuple[float] | None = None,
    ):
        """Trains nothing yet.

        Args:
            name: ``sklearn:NAME``.
            build: Makes the unfitted classifier.
            features: The pool, (N, d), possibly memory-mapped.
            scaling: What is subtracted from its columns and what they are divided by, (d,) each.
            rows: The labelled rows, (l,).
            y: Their classes, (l,).
            n_classes: Classes of the project.
            exploration: Which rows were drawn uniformly.
            seed: Of the classifier and of the folds that the temperature is chosen by.
            settings: The temperature, where it was chosen before.
        """
        self.name = name
        self._build, self._features, self._scaling = build, features, scaling
        self._rows, self._y, self._n_classes = rows, y, n_classes
        self._exploration, self._seed, self._settings = exploration, seed, settings
        self._fitted: Any = None

    @property
    def settings(self) -> tuple[float]:
        """The temperature: as it was given, else chosen by cross-validated log-loss now."""
        if self._settings is None:
            self._settings = (1.0,)
            if len(self._y) >= 2 * N_FOLDS:
                folds = deal_folds(self._y, self._exploration, np.random.default_rng(self._seed))
                tested = folds >= 0
                P = self.cross_fitted(folds)[tested]
                self._settings = (float(np.clip(fit_temperature(P, self._y[tested]), 0.1, 10.0)),)
        return self._settings

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`. Raises UnusableClassifier where it cannot be trained on the labels."""
        X, [temperature] = self._scaled(self._rows), self.settings

        def answer(train: IntArray, test: IntArray) -> FloatArray:
            return self._answers(self._trained(X[train], self._y[train]), X[test], temperature)

        return cross_fit(folds, self._n_classes, answer)

    def fit(self) -> None:
        """Train on all labelled rows. Raises UnusableClassifier as `cross_fitted` does."""
        self._fitted = self._trained(self._scaled(self._rows), self._y)

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`. Raises NotFitted before `fit`."""
        out = np.empty((len(rows), self._n_classes), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK):
            out[start : start + _CHUNK] = self.of_items(self._features[rows[start : start + _CHUNK]])
        return out

    def of_items(self, features: Any, texts: Sequence[str] = ()) -> FloatArray:
        """Probabilities of any rows in the same view, (n, d) to (n, n_classes). Raises NotFitted before `fit`."""
        if self._fitted is None:
            raise NotFitted(f"The teacher {self.name}")
        center, scale = self._scaling
        return self._answers(self._fitted, (widen(np.ascontiguousarray(features)) - center) / scale, self.settings[0])

    def _scaled(self, rows: IntArray) -> FloatArray:
        center, scale = self._scaling
        return np.asarray((np.asarray(self._features[rows], dtype=np.float32) - center) / scale)

    def _trained(self, X: FloatArray, y: IntArray) -> Any:
        if len(np.unique(y)) < 2:
            raise UnusableClassifier(self.name, "a fold has labels of one class only: label more items first")
        try:
            return self._build(self._seed).fit(X, y)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise UnusableClassifier(self.name, f"it cannot be trained on these labels: {error}") from error

    def _answers(self, fitted: Any, X: FloatArray, temperature: float) -> FloatArray:
        seen = np.asarray(fitted.classes_, dtype=np.int64)
        if not hasattr(fitted, "predict_proba"):
            scores = np.asarray(fitted.decision_function(X), dtype=np.float64)
            scores = np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores
            return spread_softmax(np.asarray(scores, dtype=np.float32), seen, self._n_classes, temperature)
        P = np.clip(np.asarray(fitted.predict_proba(X), dtype=np.float64), UNSEEN_PROBABILITY, None)
        logits = np.log(apply_temperature(P, temperature))
        return spread_softmax(np.asarray(logits, dtype=np.float32), seen, self._n_classes)
