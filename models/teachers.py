"""Teachers: the accurate model of a round, trained on frozen features, whose soft labels the student learns from."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import BadInput, CorruptModel
from models.half import widen
from models.regularisation import UNSEEN_PROBABILITY, Choice, choose_regularisation
from models.softmax import fit_softmax, single_blas_thread
from models.stretches import in_stretches

REGROWTH = 1.3
"""By how much labels must have grown before the view and C are chosen again."""
RAW = "raw"
"""The view of rows as their encoder gave them."""
_SCALE_ROWS = 10_000
_CHUNK_ROWS = 1_024
_FEW_CLASSES = 40

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class LogisticTeacher:
    """Multinomial logistic regression over features of shape (n, d).

    Attributes:
        coef: Weights on features as they come (standardisation folded in), (seen classes, d).
        intercept: Shape (seen classes,).
        seen: The classes that had labels, ascending.
        n_classes: All classes; those without labels get `UNSEEN_PROBABILITY`.
        C: Inverse L2 strength on the standardised scale (scikit-learn's meaning: on the summed loss).
        temperature: What logits are divided by: with the C that decides best, probabilities are rarely honest.
        chosen_at: How many labels there were when C was chosen by cross-validation; 0 for never.
        center: What was subtracted from the columns before fitting, (d,).
        scale: What they were then divided by, (d,).
        view: Which view of the rows it was trained on, and is to be asked about.
        losses: What cross-validation found for each view when it last chose; empty where there was nothing to compare.
        chance: As in `Choice`, as it was then: the loss of answering with how often each class occurs.
        by_chance: As in `Choice`: whether the teacher did no better.
    """

    coef: FloatArray
    intercept: FloatArray
    seen: IntArray
    n_classes: int
    C: float
    temperature: float
    chosen_at: int
    center: FloatArray
    scale: FloatArray
    view: str = RAW
    losses: Mapping[str, float] = field(default_factory=dict)
    chance: float | None = None
    by_chance: bool = False

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        n_classes: int,
        exploration: ArrayLike | None = None,
        *,
        rng: np.random.Generator,
        C: float | None = None,
        previous: LogisticTeacher | None = None,
        pool: Any = None,
    ) -> LogisticTeacher:
        """Train on all rows given.

        Args:
            X: Features of the labelled rows, (n, d), float16 or float32.
            y: Their classes, (n,), in 0 … n_classes - 1.
            n_classes: How many classes the project has; those without labels stay at a near-zero floor.
            exploration: Which rows were drawn uniformly, (n,) of bool. From 30 on only they are tested on when C is
                chosen: scores on actively chosen rows alone mislead.
            rng: Deals the folds.
            C: Fixes the regularisation; the temperature is then the previous one, or 1. Without it, that of
                ``previous`` is used until the labels have grown by 30 %; then, and the first time,
                `choose_regularisation` decides.
            previous: The last round's teacher: a warm start.
            pool: The whole feature matrix, (N, d): columns are standardised by it instead of by the labelled rows.

        Raises:
            BadInput: No rows, shapes that do not fit, classes out of range, or numbers that are not finite.
        """
        rows, classes = _checked(X, y, n_classes)
        scaled = _Scaled.of(rows, rows if pool is None else pool)
        if C is not None:
            choice = Choice(RAW, C, previous.temperature if previous else 1.0)
            chosen_at = previous.chosen_at if previous else 0
        elif previous is not None and not _due(previous, len(classes), (RAW,)):
            choice, chosen_at = previous.choice, previous.chosen_at
        else:
            choice = choose_regularisation({RAW: scaled.rows}, classes, exploration, rng=rng)
            chosen_at = len(classes)
        return cls._fitted(scaled, classes, n_classes, choice, chosen_at, previous)

    @classmethod
    def fit_views(
        cls,
        views: Mapping[str, Any],
        rows: IntArray,
        y: ArrayLike,
        n_classes: int,
        exploration: ArrayLike | None = None,
        *,
        rng: np.random.Generator,
        previous: LogisticTeacher | None = None,
    ) -> LogisticTeacher:
        """Train on the view of the pool that cross-validation prefers; see `choose_regularisation`.

        The choice stands, with its C, until the labels have grown by 30 % or its view is gone.

        Args:
            views: The pool seen in different ways, each (N, d), possibly memory-mapped.
            rows: Which rows are labelled, (n,).
            y: Their classes, (n,).
            n_classes: As in `fit`.
            exploration: As in `fit`.
            rng: Deals the folds.
            previous: The last round's teacher: a warm start, where its view is still chosen.

        Raises:
            BadInput: As in `fit`.
        """
        if previous is not None and not _due(previous, len(rows), views):
            view, choice, chosen_at = previous.view, previous.choice, previous.chosen_at
            labelled, classes = _checked(views[view][rows], y, n_classes)
            scaled = _Scaled.of(labelled, views[view])
        else:
            seen_as: dict[str, _Scaled] = {}
            for name, features in views.items():
                labelled, classes = _checked(features[rows], y, n_classes)
                seen_as[name] = _Scaled.of(labelled, features)
            matrices = {name: scaled.rows for name, scaled in seen_as.items()}
            choice = choose_regularisation(matrices, classes, exploration, rng=rng)
            scaled, chosen_at = seen_as[choice.view], len(classes)
        return cls._fitted(scaled, classes, n_classes, choice, chosen_at, previous)

    @classmethod
    def _fitted(
        cls,
        scaled: _Scaled,
        classes: IntArray,
        n_classes: int,
        choice: Choice,
        chosen_at: int,
        previous: LogisticTeacher | None,
    ) -> LogisticTeacher:
        center, scale = scaled.center, scaled.scale
        seen, targets = np.unique(classes, return_inverse=True)
        start = None
        if previous is not None and previous.view == choice.view:
            start = _warm_start(previous, seen, center, scale)
        W, b = fit_softmax(scaled.rows, targets, len(seen), choice.C, start=start)
        coef = (W / scale).astype(np.float32)
        # As a sum, not a product of matrix and vector: that once warned of an invalid value where all were finite.
        intercept = (b - (coef * center).sum(axis=1)).astype(np.float32)
        return cls(
            coef=coef,
            intercept=intercept,
            seen=seen.astype(np.int64),
            n_classes=n_classes,
            C=float(choice.C),
            temperature=choice.temperature,
            chosen_at=chosen_at,
            center=center,
            scale=scale,
            view=choice.view,
            losses=choice.losses,
            chance=choice.chance,
            by_chance=choice.by_chance,
        )

    @property
    def choice(self) -> Choice:
        """What cross-validation last chose."""
        return Choice(self.view, self.C, self.temperature, self.losses, self.chance, self.by_chance)

    def predict_proba(self, X: Any, rows: IntArray | None = None, *, threads: int | None = None) -> FloatArray:
        """Probabilities of all classes, (n, n_classes) float32, rows sum to 1; reads memory-mapped features in chunks.

        Args:
            X: Features, (n, d), float16 or float32.
            rows: Which of them, in which order; all where None. Those that follow one another are read where they lie.
            threads: How many at once, whatever BLAS is told; a core each where None. They change no bit.

        Raises:
            BadInput: Another number of columns than in training.
        """
        if X.ndim != 2 or X.shape[1] != self.coef.shape[1]:
            raise BadInput(f"Features have shape {X.shape}; this teacher was trained on {self.coef.shape[1]} columns.")
        n, missing = X.shape[0] if rows is None else len(rows), self.n_classes - len(self.seen)
        out = np.full((n, self.n_classes), UNSEEN_PROBABILITY, dtype=np.float32)
        whole = slice(None) if missing == 0 else self.seen
        weights = np.ascontiguousarray(self.coef.T / np.float32(self.temperature))
        intercept = self.intercept / np.float32(self.temperature)
        share = np.float32(1 - missing * UNSEEN_PROBABILITY)

        def answer(begin: int, end: int) -> None:
            buffer = np.empty((min(end - begin, _CHUNK_ROWS), X.shape[1]), dtype=np.float32)
            for start in range(begin, end, _CHUNK_ROWS):
                stop = min(end, start + _CHUNK_ROWS)
                logits = widen(_stretch(X, rows, start, stop), buffer) @ weights
                if len(self.seen) <= _FEW_CLASSES:  # sums along short rows take longer than turning them
                    logits = np.ascontiguousarray(logits.T)
                    out[start:stop, whole] = _softmax(logits, intercept[:, None], 0, share).T
                else:
                    out[start:stop, whole] = _softmax(logits, intercept, 1, share)

        with single_blas_thread():
            in_stretches(answer, n, threads)
        return out

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything there is to save, by name; `from_arrays` gives back the same teacher, bit for bit."""
        return {
            "coef": self.coef,
            "intercept": self.intercept,
            "seen": self.seen,
            "n_classes": np.array([self.n_classes], dtype=np.int64),
            "C": np.array([self.C], dtype=np.float64),
            "temperature": np.array([self.temperature], dtype=np.float64),
            "chosen_at": np.array([self.chosen_at], dtype=np.int64),
            "center": self.center,
            "scale": self.scale,
            "view": _bytes_of(
                {"view": self.view, "losses": dict(self.losses), "chance": self.chance, "by_chance": self.by_chance}
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LogisticTeacher:
        """The teacher whose `arrays` these are.

        Raises:
            CorruptModel: An array is missing.
        """
        try:
            # Teachers that were kept before there was more than one view have none.
            seen_as = json.loads(np.asarray(arrays["view"], np.uint8).tobytes()) if "view" in arrays else {}
            return cls(
                coef=np.asarray(arrays["coef"], dtype=np.float32),
                intercept=np.asarray(arrays["intercept"], dtype=np.float32),
                seen=np.asarray(arrays["seen"], dtype=np.int64),
                n_classes=int(arrays["n_classes"][0]),
                C=float(arrays["C"][0]),
                temperature=float(arrays["temperature"][0]),
                chosen_at=int(arrays["chosen_at"][0]),
                center=np.asarray(arrays["center"], dtype=np.float32),
                scale=np.asarray(arrays["scale"], dtype=np.float32),
                view=str(seen_as.get("view", RAW)),
                losses={str(name): float(loss) for name, loss in seen_as.get("losses", {}).items()},
                chance=seen_as.get("chance"),
                by_chance=bool(seen_as.get("by_chance", False)),
            )
        except KeyError as missing:
            raise CorruptModel("A teacher's state", f"it has no array {missing}") from missing


def _softmax(logits: FloatArray, intercept: FloatArray, classes: int, share: np.float32) -> FloatArray:
    """In place, along the axis ``classes``; adds up to ``share``."""
    logits += intercept
    logits -= logits.max(axis=classes, keepdims=True)
    np.exp(logits, out=logits)
    logits *= share / logits.sum(axis=classes, keepdims=True)
    return logits


def _stretch(X: Any, rows: IntArray | None, start: int, stop: int) -> Any:
    """The features of the rows from ``start`` to ``stop``, copied only where they do not follow one another."""
    if rows is None:
        return X[start:stop]
    wanted = rows[start:stop]
    first, last = int(wanted[0]), int(wanted[-1])
    if last - first == len(wanted) - 1 and bool((np.diff(wanted) == 1).all()):
        return X[first : last + 1]
    return X[wanted]


@dataclass(frozen=True)
class _Scaled:
    """Labelled rows on the scale that fits are made on, (n, d), and what that took, each (d,)."""

    rows: FloatArray
    center: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, rows: FloatArray, pool: Any) -> _Scaled:
        center, scale = column_scaling(pool)
        return cls((rows - center) / scale, center, scale)


def _due(previous: LogisticTeacher, n_labels: int, views: Container[str]) -> bool:
    """Whether it is time to choose again."""
    return not previous.chosen_at or previous.view not in views or n_labels >= REGROWTH * previous.chosen_at


def _bytes_of(values: Mapping[str, Any]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)


def column_scaling(X: Any) -> tuple[FloatArray, FloatArray]:
    """What to subtract from and divide columns by so that one grid of C serves every kind of feature.

    Three cases, all of which give rows of about unit length:

    - Rows of unit length (what our encoders give) stay as they are.
    - Columns in one unit, such as pixels, are centred and divided by one number: their differences in spread say
      something. Measured on digits, 50 labels: .826, else .804. They are taken to be in one unit where there are at
      least 16 and the largest deviation is at most 5 times the median one and 50 times the lower quartile.
    - All others are centred and divided by their own deviation, and by √d. Measured on wine, 50 labels: .95, else .68.

    Statistics come from at most 10,000 evenly spaced rows.

    Args:
        X: Features, (n, d), n ≥ 1.

    Returns:
        Two float32 arrays of shape (d,).
    """
    step = max(1, -(-X.shape[0] // _SCALE_ROWS))
    sample = widen(np.ascontiguousarray(X[::step]))
    d = sample.shape[1]
    lengths = np.sqrt(np.einsum("ij,ij->i", sample, sample))
    # Rows of zeros (an empty text, an image that would not decode) do not speak against unit length.
    if np.all((np.abs(lengths - 1) < 0.02) | (lengths == 0)) and lengths.any():
        return np.zeros(d, dtype=np.float32), np.ones(d, dtype=np.float32)
    center = sample.mean(axis=0, dtype=np.float64)
    deviation = sample.std(axis=0, dtype=np.float64)
    varies = deviation > 1e-6 * np.maximum(np.abs(center), 1e-6)
    scale = np.where(varies, deviation, 1.0) * np.sqrt(d)
    if varies.sum() >= 16:
        quartile, median = np.quantile(deviation[varies], [0.25, 0.5])
        if deviation.max() <= min(5 * median, 50 * quartile):
            scale = np.full(d, np.sqrt(np.sum(deviation**2)))
    return center.astype(np.float32), scale.astype(np.float32)


def _warm_start(
    previous: LogisticTeacher, seen: IntArray, center: FloatArray, scale: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """The previous weights on today's scale, zeros for classes that are new; None where the columns differ."""
    d = len(center)
    if previous.coef.shape[1] != d:
        return None
    W = np.zeros((len(seen), d), dtype=np.float32)
    b = np.zeros(len(seen), dtype=np.float32)
    old, new = np.isin(previous.seen, seen), np.isin(seen, previous.seen)
    W[new] = previous.coef[old] * scale
    b[new] = previous.intercept[old] + (previous.coef[old] * center).sum(axis=1)
    return W, b


def _checked(X: ArrayLike, y: ArrayLike, n_classes: int) -> tuple[FloatArray, IntArray]:
    rows, classes = np.asarray(X, dtype=np.float32), np.asarray(y)
    if rows.ndim != 2 or classes.ndim != 1 or len(rows) != len(classes):
        raise BadInput(f"Features must be (n, d) for n labels, not {rows.shape} for {classes.shape}.")
    if not len(classes):
        raise BadInput("There are no labels to learn from: label some items first.")
    if classes.min() < 0 or classes.max() >= n_classes:
        raise BadInput(f"Classes must lie in 0 … {n_classes - 1}.")
    if not np.isfinite(rows).all():
        raise BadInput("Features must be finite numbers: no NaN and no infinity.")
    return rows, classes.astype(np.int64)
