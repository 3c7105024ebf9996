"""Teachers: the accurate model of a round, trained on frozen features, whose soft labels the student learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.calibrate import apply_temperature, fit_temperature
from models.errors import BadInput, CorruptModel
from models.evaluate import log_losses
from models.half import widen
from models.softmax import fit_softmax, single_blas_thread

DEFAULT_C = 3.0
FIRST_C = 30.0
"""Before anything can be compared: with a handful of labels a strong penalty leaves next to nothing but the prior."""
C_GRID = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
UNSEEN_PROBABILITY = 1e-6
"""What a class without a single label gets: enough for a finite log-loss, too little to be anybody's choice."""
N_FOLDS = 5
MIN_EXPLORATION = 30
REGROWTH = 1.3
_SCALE_ROWS = 10_000
_CHUNK_ROWS = 1_024
_CV_ITERATIONS = 40
_CV_WORK = 6e7

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
        center, scale = column_scaling(rows if pool is None else pool)
        Z = (rows - center) / scale
        chosen_at, temperature = (previous.chosen_at, previous.temperature) if previous else (0, 1.0)
        if C is None:
            if previous is not None and chosen_at and len(classes) < REGROWTH * chosen_at:
                C = previous.C
            else:
                C, temperature = choose_regularisation(Z, classes, exploration, rng=rng)
                chosen_at = len(classes)
        seen, targets = np.unique(classes, return_inverse=True)
        start = _warm_start(previous, seen, center, scale) if previous else None
        W, b = fit_softmax(Z, targets, len(seen), C, start=start)
        coef = (W / scale).astype(np.float32)
        # As a sum, not a product of matrix and vector: that once warned of an invalid value where all were finite.
        intercept = (b - (coef * center).sum(axis=1)).astype(np.float32)
        return cls(coef, intercept, seen.astype(np.int64), n_classes, float(C), temperature, chosen_at, center, scale)

    def predict_proba(self, X: Any) -> FloatArray:
        """Probabilities of all classes, (n, n_classes) float32, rows sum to 1; reads memory-mapped features in chunks.

        Raises:
            BadInput: Another number of columns than in training.
        """
        if X.ndim != 2 or X.shape[1] != self.coef.shape[1]:
            raise BadInput(f"Features have shape {X.shape}; this teacher was trained on {self.coef.shape[1]} columns.")
        n, missing = X.shape[0], self.n_classes - len(self.seen)
        out = np.full((n, self.n_classes), UNSEEN_PROBABILITY, dtype=np.float32)
        whole = slice(None) if missing == 0 else self.seen
        weights = np.ascontiguousarray(self.coef.T / np.float32(self.temperature))
        intercept = self.intercept / np.float32(self.temperature)
        buffer = np.empty((min(n, _CHUNK_ROWS), X.shape[1]), dtype=np.float32)
        with single_blas_thread():
            for start in range(0, n, _CHUNK_ROWS):
                logits = widen(X[start : start + _CHUNK_ROWS], buffer) @ weights
                logits += intercept
                logits -= logits.max(axis=1, keepdims=True)
                np.exp(logits, out=logits)
                logits *= (1 - missing * UNSEEN_PROBABILITY) / logits.sum(axis=1, keepdims=True)
                out[start : start + _CHUNK_ROWS, whole] = logits
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
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> LogisticTeacher:
        """The teacher whose `arrays` these are.

        Raises:
            CorruptModel: An array is missing.
        """
        try:
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
            )
        except KeyError as missing:
            raise CorruptModel("A teacher's state", f"it has no array {missing}") from missing


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


def choose_regularisation(
    Z: FloatArray, y: IntArray, exploration: ArrayLike | None = None, *, rng: np.random.Generator
) -> tuple[float, float]:
    """C and temperature by cross-validated log-loss, with the one-standard-error rule.

    Each C is judged at its own best temperature: otherwise log-loss buys sharper probabilities with worse decisions
    (measured on AG News: 400 labels, .846 without and .861 with). The default wins where its paired loss is within one
    standard error of the best; if it is not, of those that are, the one nearest to the default.

    Args:
        Z: Standardised features, (n, d).
        y: Classes, (n,).
        exploration: Rows that were drawn uniformly, (n,) of bool.
        rng: Deals the folds.

    Returns:
        One of `C_GRID`, and a temperature in 0.2 … 5; `FIRST_C` and 1 below 10 labels or with a single class, where
        nothing can be compared.
    """
    seen, targets = np.unique(y, return_inverse=True)
    if len(y) < 2 * N_FOLDS or len(seen) < 2:
        return FIRST_C, 1.0
    folds = deal_folds(y, exploration, rng)
    temperatures, losses = _path_losses(np.asarray(Z, dtype=np.float32), targets, folds, len(seen))
    excess = losses - losses[losses.mean(axis=1).argmin()]
    errors = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    near = np.flatnonzero(excess.mean(axis=1) <= errors)
    chosen = min(near, key=lambda i: abs(np.log(C_GRID[i] / DEFAULT_C)))
    return C_GRID[chosen], float(np.clip(temperatures[chosen], 0.2, 5.0))


def deal_folds(y: IntArray, exploration: ArrayLike | None, rng: np.random.Generator) -> IntArray:
    """Which of `N_FOLDS` folds each row is tested in, (n,); -1 is never, always trained on.

    Stratified: the rows of each class are shuffled and dealt in turn. With at least 30 exploration rows only they
    are dealt.
    """
    tested = np.ones(len(y), dtype=bool)
    if exploration is not None:
        explored = np.asarray(exploration, dtype=bool)
        if explored.sum() >= MIN_EXPLORATION:
            tested = explored
    order = rng.permutation(np.flatnonzero(tested))
    order = order[np.argsort(y[order], kind="stable")]
    folds = np.full(len(y), -1, dtype=np.int64)
    folds[order] = np.arange(len(order)) % N_FOLDS
    return folds


def _path_losses(
    Z: FloatArray, y: IntArray, folds: IntArray, n_classes: int
) -> tuple[list[float], NDArray[np.float64]]:
    """Temperature for each C, and the loss of each tested row at it, (grid so far, tested rows).

    Each fold walks up the grid from the strongest regularisation, each fit starting where the last one ended; the
    path ends where the loss only rises.
    """
    # A large problem (many labels × columns × classes) tests fewer of the folds: C is worth seconds, not minutes.
    affordable = int(_CV_WORK * N_FOLDS / max(1.0, float(Z.size) * n_classes))
    parts = [(folds != fold, folds == fold) for fold in range(min(N_FOLDS, max(2, affordable)))]
    parts = [(train, test) for train, test in parts if test.any()]
    truth = np.concatenate([y[test] for _, test in parts])
    starts: list[tuple[FloatArray, FloatArray] | None] = [None] * len(parts)
    temperatures: list[float] = []
    losses: list[NDArray[np.float64]] = []
    for C in C_GRID:
        guesses = []
        for i, (train, test) in enumerate(parts):
            present, targets = np.unique(y[train], return_inverse=True)
            starts[i] = W, b = fit_softmax(
                Z[train], targets, len(present), C, start=starts[i], max_iterations=_CV_ITERATIONS, tolerance=1e-4
            )
            guesses.append(_spread(Z[test] @ W.T + b, present, n_classes))
        P = np.concatenate(guesses)
        temperatures.append(fit_temperature(P, truth))
        losses.append(log_losses(truth, apply_temperature(P, temperatures[-1])))
        means = [row.mean() for row in losses]
        if C > DEFAULT_C and means[-1] > means[-2] > min(means):
            break
    return temperatures, np.array(losses)


def _spread(logits: FloatArray, present: IntArray, n_classes: int) -> NDArray[np.float64]:
    """Probabilities of all classes from the logits of those that were trained on."""
    P = np.full((len(logits), n_classes), UNSEEN_PROBABILITY)
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64))
    P[:, present] = np.maximum(weights / weights.sum(axis=1, keepdims=True), UNSEEN_PROBABILITY)
    return P


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
