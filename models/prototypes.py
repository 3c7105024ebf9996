"""Prototypes: a class is where its name lies among the items, and, as labels come, where its items lie.

Zero-shot (yin2019) where nothing is labelled, prototypical few-shot (snell2017) from the first label on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrate import fit_temperature
from models.cross_fit import cross_fit, spread_softmax
from models.errors import BadInput, NotFitted
from models.evaluate import log_loss
from models.half import widen
from models.members import FloatArray, IntArray
from models.regularisation import N_FOLDS, deal_folds

SHARPNESS = 0.05
"""What cosines are divided by before labels say better."""
NAME_WEIGHT = 3.0
"""How many labelled items a name counts as, before labels say better."""
_WEIGHTS = (0.3, 1.0, 3.0, 10.0, 30.0)
_MEAN_ROWS = 10_000
_CHUNK = 8_192


class NamePrototypes:
    """Where names of classes lie among the items of a pool.

    Items are centred by their mean, names by theirs: names lie apart from all sentences. Several phrasings of a name
    are averaged after each was scaled to length 1 (radford2021).

    Attributes:
        directions: Unit vectors, (n_classes, d); zeros for a name that the encoder cannot read.
        readable: Which it could, (n_classes,).
        center: The mean of the items, (d,).
    """

    def __init__(self, features: Any, phrases: NDArray[np.floating[Any]]):
        """Average the phrasings.

        Args:
            features: The pool, (N, d), possibly memory-mapped; at most 10,000 evenly spaced rows are read.
            phrases: By class and phrasing, their features by the same encoder, (n_classes, phrasings, d).

        Raises:
            BadInput: Shapes that do not go together.
        """
        if phrases.ndim != 3 or features.ndim != 2 or phrases.shape[2] != features.shape[1]:
            raise BadInput(f"Phrases of shape {phrases.shape} do not go with features of shape {features.shape}.")
        step = max(1, -(-len(features) // _MEAN_ROWS))
        self.center: FloatArray = np.asarray(features[::step], dtype=np.float32).mean(axis=0)
        wide = np.nan_to_num(phrases.astype(np.float32))
        means = _unit(wide).mean(axis=1)
        self.readable: NDArray[np.bool_] = (means != 0).any(axis=1)
        self.directions: FloatArray = np.zeros_like(means)
        if self.readable.any():
            known = means[self.readable]
            # Of one name alone there is no mean to tell it from.
            self.directions[self.readable] = _unit(known - known.mean(axis=0) if len(known) > 1 else known)

    def items(self, features: Any) -> FloatArray:
        """Centred rows of length 1, (n, d)."""
        return _unit(widen(np.ascontiguousarray(features)) - self.center)

    def zero_shot(self, features: Any) -> FloatArray:
        """Probabilities by the names alone, (n, n_classes) float32, of rows (n, d); even where no name can be read."""
        known = np.flatnonzero(self.readable)
        if not len(known):
            return np.full((len(features), len(self.directions)), 1 / len(self.directions), dtype=np.float32)
        cosines = self.items(features) @ self.directions[known].T
        return spread_softmax(cosines, known, len(self.directions), SHARPNESS)


class PrototypeMember:
    """Nearest prototype: the mean of a class's labelled rows, drawn towards its name as far as labels recommend.

    It knows classes without labels by their names. A class that has neither is known not at all.
    """

    name = "prototypes"

    def __init__(
        self,
        names: NamePrototypes,
        features: Any,
        rows: IntArray,
        y: IntArray,
        exploration: NDArray[np.bool_] | None = None,
        *,
        rng: np.random.Generator,
        settings: tuple[float, float] | None = None,
    ):
        """Computes nothing yet.

        Args:
            names: Where the names lie.
            features: The pool, (N, d), in any view of the same columns.
            rows: The labelled rows, (l,).
            y: Their classes, (l,).
            exploration: Which were drawn uniformly.
            rng: Deals the folds that the name's weight and the temperature are chosen by.
            settings: Both, where they were chosen before.
        """
        self._names, self._features, self._rows, self._y = names, features, rows, y
        self._exploration, self._rng, self._settings = exploration, rng, settings
        self._labelled: FloatArray | None = None
        self._prototypes: tuple[FloatArray, IntArray] | None = None

    @property
    def settings(self) -> tuple[float, float]:
        """How many labels a name counts as, and the temperature: given, or chosen by cross-validated log-loss now."""
        if self._settings is None:
            self._settings = self._chosen()
        return self._settings

    def cross_fitted(self, folds: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`."""
        weight, temperature = self.settings
        return self._cross_fitted(folds, weight, temperature)

    def fit(self) -> None:
        """Average the labelled rows of each class."""
        everything = np.arange(len(self._y))
        self._prototypes = self._placed(everything, self.settings[0])

    def predict_proba(self, rows: IntArray) -> FloatArray:
        """As in `models.members.TeacherMember`. Raises NotFitted before `fit`."""
        out = np.empty((len(rows), len(self._names.directions)), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK):
            out[start : start + _CHUNK] = self.of_items(self._features[rows[start : start + _CHUNK]])
        return out

    def of_items(self, features: Any, texts: Sequence[str] = ()) -> FloatArray:
        """Probabilities of any rows in the same view, (n, d) to (n, n_classes). Raises NotFitted before `fit`."""
        if self._prototypes is None:
            raise NotFitted("The teacher of prototypes")
        return self._answers(self._names.items(features), self._prototypes, self.settings[1])

    def _chosen(self) -> tuple[float, float]:
        if len(self._y) < 2 * N_FOLDS:
            return NAME_WEIGHT, 1.0
        folds = deal_folds(self._y, self._exploration, self._rng)
        tested = folds >= 0
        found = []
        for weight in _WEIGHTS:
            P = self._cross_fitted(folds, weight, 1.0)[tested]
            temperature = float(np.clip(fit_temperature(P, self._y[tested]), 0.1, 10.0))
            again = self._cross_fitted(folds, weight, temperature)[tested]
            found.append((log_loss(self._y[tested], again), weight, temperature))
        _, weight, temperature = min(found)
        return weight, temperature

    def _cross_fitted(self, folds: IntArray, weight: float, temperature: float) -> FloatArray:
        items = self._items()

        def answer(train: IntArray, test: IntArray) -> FloatArray:
            return self._answers(items[test], self._placed(train, weight), temperature)

        return cross_fit(folds, len(self._names.directions), answer)

    def _items(self) -> FloatArray:
        if self._labelled is None:
            self._labelled = self._names.items(self._features[self._rows])
        return self._labelled

    def _placed(self, places: IntArray, weight: float) -> tuple[FloatArray, IntArray]:
        """Unit prototypes of the classes that are known by these labelled rows or by name, and which these are."""
        directions = self._names.directions
        sums = weight * directions.astype(np.float64)
        np.add.at(sums, self._y[places], self._items()[places])
        known = self._names.readable.copy()
        known[self._y[places]] = True
        return _unit(sums[known].astype(np.float32)), np.flatnonzero(known)

    def _answers(self, items: FloatArray, prototypes: tuple[FloatArray, IntArray], temperature: float) -> FloatArray:
        placed, known = prototypes
        return spread_softmax(items @ placed.T, known, len(self._names.directions), SHARPNESS * temperature)


def _unit(rows: FloatArray) -> FloatArray:
    lengths = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
    return np.asarray(rows / np.maximum(lengths, np.float32(1e-9)), dtype=np.float32)
