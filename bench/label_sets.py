"""The sets that label efficiency is measured on: how much is bought at a time, and what may be made harder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.made_sets import MADE, made_set
from bench.real_features import RealSet, keep_class_vectors, keep_features
from bench.texts import labelled_texts
from worker.dataset import Dataset

VARIANTS = ("plain", "half-classes", "imbalance20", "hashed", "rotated", "noise10", "redrawn")
TEXTS = ("agnews", "banking77")
"""Those that are texts, whose classes have names."""
_IMBALANCE = 20.0
_NOISE = 0.1
_SEED = 0
"""Variants are the same for every strategy and seed."""


@dataclass(frozen=True)
class Plan:
    """How many labels are bought.

    Attributes:
        first: Labels of the first batch.
        step: Labels of each later one.
        then: As ``schedule`` of `worker.simulate.SimulateOptions`.
        span: The mean accuracy is that over the steps up to here.
        budget: Where a strategy ends.
        random_budget: Where random sampling ends, which needs more to get as far.
    """

    first: int
    step: int
    then: tuple[tuple[int, int], ...]
    span: int
    budget: int
    random_budget: int


def _even(step: int, span: int) -> Plan:
    """Batches of one size to the end of the span, for every strategy."""
    return Plan(step, step, (), span, span, span)


PLANS = {
    "agnews": Plan(10, 10, ((400, 50),), 400, 600, 1_000),
    "banking77": Plan(77, 77, ((770, 154),), 770, 1_386, 3_080),
    "mnist10k": Plan(20, 20, (), 400, 400, 1_000),
    "digits": _even(20, 300),
    "wine": _even(6, 60),
    "breast_cancer": _even(10, 120),
    "iris": _even(5, 50),
    "long_tail": _even(30, 450),
    "many_classes": _even(50, 600),
    "noise_columns": _even(20, 300),
    "linear_rule": _even(10, 200),
    "clusters": _even(20, 300),
    "rings": _even(10, 200),
    "roll": _even(10, 200),
    "tiny": _even(8, 80),
    "outliers": _even(15, 225),
    "duplicates": _even(15, 225),
    "overlap": _even(15, 225),
    "rare": _even(20, 300),
    "wide": _even(10, 150),
    "units": _even(10, 150),
    "counts": _even(20, 300),
    "flags": _even(10, 200),
    "large": _even(20, 300),
}
GROUPS = {"real": tuple(name for name in PLANS if name not in MADE), "unlike": tuple(MADE)}
"""Sets that the commands take by one name; ``real`` are those that they run where none is named."""


def named_sets(names: Iterable[str]) -> list[str]:
    """The sets that a command line names, by themselves or by `GROUPS`.

    >>> named_sets(["iris", "real"])
    ['iris', 'agnews', 'banking77', 'mnist10k']
    """
    return list(dict.fromkeys(one for name in names for one in GROUPS.get(name, (name,))))


def has_variant(name: str, variant: str) -> bool:
    """Whether there is such a variant of a set: only texts can be hashed, only what is made here can be drawn anew."""
    if variant == "hashed":
        return name in TEXTS
    return variant != "redrawn" or name in MADE


@dataclass(frozen=True)
class LabelSet:
    """A pool, a test set and their features, as `worker.simulate.Bench.of` takes them.

    Attributes:
        pool: What may be bought.
        test: What models are scored on.
        encoded: Features of both.
        noise: Share of answers that are wrong.
        class_vectors: By class, its name by the encoder of the features; None where that is not known or no text.
    """

    pool: Dataset
    test: Dataset
    encoded: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]
    noise: float = 0.0
    class_vectors: dict[str, NDArray[np.float32]] | None = None


def label_set(name: str, variant: str, features: Path, *, with_items: bool = False, names: str = "true") -> LabelSet:
    """One of the sets, as it is or harder.

    Args:
        name: One of `PLANS`.
        variant: ``plain``; ``half-classes``: of the classes, drawn once; ``imbalance20``: the pool's classes thinned
            out so that the largest is twenty times the smallest; ``hashed``: texts by the encoder of that name;
            ``rotated``: features turned at random; ``noise10``: every tenth answer wrong; ``redrawn``: another split
            of a set that is made here, and other rows.
        features: Where features are kept; they are encoded once.
        with_items: Keep the texts: students learn from them. Images are only there as features.
        names: What the classes are called: ``true``, ``numbers`` (names that say nothing) or ``none``.

    Raises:
        FileNotFoundError, ValueError: As `bench.real_features.keep_features`.
    """
    encoder = "hashed" if variant == "hashed" else None
    if name in MADE:
        data, names = made_set(name, 1 if variant == "redrawn" else 0), "none"
    else:
        data = keep_features(name, features, encoder)
    parts = [_part(name, part, data, with_items) for part in ("train", "test")]
    vectors = None if names == "none" else keep_class_vectors(name, features, encoder, numbered=names == "numbers")
    made = LabelSet(parts[0], parts[1], (data.X, data.test_features), class_vectors=vectors)
    if variant == "half-classes":
        return some_classes(made, (data.n_classes + 1) // 2)
    if variant == "imbalance20":
        return _taken(made, imbalanced(data.y, _IMBALANCE), np.arange(len(data.test_y)))
    if variant == "rotated":
        turn = rotation(data.X.shape[1])
        X, test_features = ((part.astype(np.float32) @ turn).astype(part.dtype) for part in made.encoded)
        turned = None if vectors is None else {name: vector @ turn for name, vector in vectors.items()}
        return _as_features(replace(made, encoded=(X, test_features), class_vectors=turned), with_items)
    return replace(made, noise=_NOISE) if variant == "noise10" else made


def imbalanced(y: NDArray[np.int64], ratio: float) -> NDArray[np.int64]:
    """Rows, ascending, whose classes fall off geometrically in a random order, the last to 1 / ratio of the first.

    >>> np.bincount(np.arange(300)[imbalanced(np.arange(300) % 3, 20.0)] % 3).tolist()
    [22, 5, 100]
    """
    rng = np.random.default_rng(_SEED)
    counts = np.bincount(y)
    kept = []
    for place, label in enumerate(rng.permutation(len(counts))):
        wanted = round(counts.max() * ratio ** (-place / max(1, len(counts) - 1)))
        kept.append(rng.permutation(np.flatnonzero(y == label))[:wanted])
    return np.sort(np.concatenate(kept))


def rotation(d: int) -> NDArray[np.float32]:
    """A random orthogonal matrix, (d, d)."""
    turn, _ = np.linalg.qr(np.random.default_rng(_SEED).standard_normal((d, d)))
    return turn.astype(np.float32)


def some_classes(made: LabelSet, n_classes: int, draw: int = _SEED) -> LabelSet:
    """So many of the classes, which ones hangs on ``draw``, and the rows of both files that are of them."""
    names = sorted(set(made.pool.labels), key=int)
    chosen = {names[place] for place in np.random.default_rng(draw).permutation(len(names))[:n_classes]}
    kept = [
        np.flatnonzero([label in chosen for label in part.labels]).astype(np.int64) for part in (made.pool, made.test)
    ]
    return _taken(made, kept[0], kept[1])


def _taken(made: LabelSet, rows: NDArray[np.int64], test_rows: NDArray[np.int64]) -> LabelSet:
    def part(dataset: Dataset, kept: NDArray[np.int64]) -> Dataset:
        items = dataset.items
        some = items[kept] if isinstance(items, np.ndarray) else [items[row] for row in kept]
        return Dataset(dataset.task, some, tuple(dataset.labels[row] for row in kept))

    X, test_features = made.encoded
    pool, test = part(made.pool, rows), part(made.test, test_rows)
    return replace(made, pool=pool, test=test, encoded=(X[rows], test_features[test_rows]))


def _as_features(made: LabelSet, with_items: bool) -> LabelSet:
    if with_items and made.pool.task != "features":
        return made
    X, test_features = made.encoded
    return replace(made, pool=replace(made.pool, items=X), test=replace(made.test, items=test_features))


def _part(name: str, part: str, data: RealSet, with_items: bool) -> Dataset:
    X, y = (data.X, data.y) if part == "train" else (data.test_features, data.test_y)
    labels = tuple(str(label) for label in y)
    if with_items and name in TEXTS:
        texts, _, _ = labelled_texts(1_000_000, name, part)
        return Dataset("text", texts, labels)
    return Dataset("features", X, labels)
