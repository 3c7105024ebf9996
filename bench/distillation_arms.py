"""The ways of distilling that `bench.distillation` compares: what each makes of one ground."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

_WARM_ROWS = 5_000  # as a round's recipe has it
Probabilities = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Ground:
    """What all arms of a set and a seed share.

    Attributes:
        texts: Of the pool, (n,).
        labeled: Rows with labels, (l,).
        y: Classes of the pool, (n,); the arms see those of ``labeled`` only.
        soft: The teacher's probabilities over the pool, (n, C).
        lexical: Those of a second teacher, on hashed n-grams.
        weights: What each counts by `fit_teacher_weights` on halves that it was not trained on, (2,).
        near: The ten nearest rows of each by MiniLM's features, (n, 10).
        features: Those features, (n, d).
        class_names: C names.
        seed: Of labels and student.
        family: Of students, of texts.
    """

    texts: list[str]
    labeled: NDArray[np.int64]
    y: NDArray[np.int64]
    soft: Probabilities
    lexical: Probabilities
    weights: NDArray[np.float64]
    near: NDArray[np.int64]
    features: NDArray[np.floating[Any]]
    class_names: tuple[str, ...]
    seed: int
    family: str = "static"

    def train(self, soft: Probabilities | None = None, *, rows: NDArray[np.int64] | None = None, **options: Any) -> Any:
        """A student on ``soft`` (the teacher's where None) of ``rows`` (all where None), and on the labels."""
        from models.distill import distil

        P = self.soft if soft is None else soft
        chosen = np.arange(len(self.texts)) if rows is None else rows
        return distil(
            self.family,
            [self.texts[row] for row in chosen],
            P[chosen],
            [self.texts[row] for row in self.labeled],
            self.y[self.labeled],
            class_names=self.class_names,
            rng=np.random.default_rng(self.seed),
            features=self.features[chosen],
            **options,
        ).student


def _half_epochs(ground: Ground) -> Any:
    from models.students import network_class

    return ground.train(epochs=network_class(ground.family).epochs // 2)


def _generations(ground: Ground, n: int, teacher_share: float) -> Any:
    from models.transfer import Stage, distil_chain

    items = [ground.texts[row] for row in ground.labeled]
    made = distil_chain(
        [Stage(ground.family, teacher_share, {"features": ground.features})] * n,
        ground.texts,
        ground.soft,
        items,
        ground.y[ground.labeled],
        class_names=ground.class_names,
        rng=np.random.default_rng(ground.seed),
    )
    return made[-1].student


def _mixed(ground: Ground, weights: Any = None) -> Any:
    from models.transfer import mix_teachers

    return ground.train(mix_teachers([ground.soft, ground.lexical], weights))


def _spread(ground: Ground, share: float) -> Any:
    from models.transfer import propagate

    return ground.train(propagate(ground.soft, ground.near, share))


def _hardened(ground: Ground) -> Any:
    return ground.train(np.eye(ground.soft.shape[1])[ground.soft.argmax(1)], temperature=1.0)


def _labels_only(ground: Ground) -> Any:
    from models.distill import distil

    items, y = [ground.texts[row] for row in ground.labeled], ground.y[ground.labeled]
    none = np.zeros((0, len(ground.class_names)))
    rng = np.random.default_rng(ground.seed)
    return distil(ground.family, [], none, items, y, class_names=ground.class_names, rng=rng).student


def _calibrated(ground: Ground, n: int) -> Any:
    """A student whose sureness ``n`` of the labels say, which it then learns nothing from."""
    apart = np.sort(np.random.default_rng(ground.seed).permutation(ground.labeled)[:n])
    learned = replace(ground, labeled=np.setdiff1d(ground.labeled, apart))
    rows = np.setdiff1d(np.arange(len(ground.texts)), apart)
    return learned.train(rows=rows, calibration=([ground.texts[row] for row in apart], ground.y[apart]))


def _continual(ground: Ground, last_share: float) -> Any:
    """A cold student of three fifths of the labels, then four warm ones, the last of all labels.

    Each learns from the teacher of its labels, on 5,000 texts drawn anew, and for ``last_share`` from the one before.
    """
    from models.distill import distil
    from models.teachers import LogisticTeacher
    from models.transfer import mix_teachers

    rng = np.random.default_rng(ground.seed)
    order, teacher, student = rng.permutation(ground.labeled), None, None
    for share in (0.6, 0.7, 0.8, 0.9, 1.0):
        labeled = np.sort(order[: round(share * len(order))])
        rows = np.sort(rng.choice(len(ground.texts), min(len(ground.texts), _WARM_ROWS), replace=False))
        rows = rows if student is not None else np.arange(len(ground.texts))
        y = ground.y[labeled]
        teacher = LogisticTeacher.fit(
            ground.features[labeled],
            y,
            len(ground.class_names),
            rng=rng,
            C=30.0,
            previous=teacher,
            pool=ground.features,
        )
        texts = [ground.texts[row] for row in rows]
        target: Probabilities = teacher.predict_proba(ground.features, rows)
        if student is not None and last_share:
            target = mix_teachers([target, student.predict_proba(texts)], [1 - last_share, last_share])
        student = distil(
            ground.family,
            texts,
            target,
            [ground.texts[row] for row in labeled],
            y,
            class_names=ground.class_names,
            rng=rng,
            features=ground.features[rows],
            previous=None if student is None else student.arrays(),
        ).student
    return student


ARMS: Mapping[str, Callable[[Ground], Any]] = {
    "as it is": lambda g: g.train(),
    "calibrated on 50 labels": lambda g: _calibrated(g, 50),
    "calibrated on 100 labels": lambda g: _calibrated(g, 100),
    "calibrated on 200 labels": lambda g: _calibrated(g, 200),
    "labels only": _labels_only,
    "temperature 0.33": lambda g: g.train(temperature=0.33),
    "temperature 1": lambda g: g.train(temperature=1.0),
    "temperature 2": lambda g: g.train(temperature=2.0),
    "hard labels (self-training)": _hardened,
    "labels count 0": lambda g: g.train(label_weight=0.0),
    "labels count 8": lambda g: g.train(label_weight=8.0),
    "half the epochs": _half_epochs,
    "easy to hard": lambda g: g.train(curriculum="easy_to_hard"),
    "hard first": lambda g: g.train(curriculum="hard_first"),
    "self-paced": lambda g: g.train(curriculum="self_paced"),
    "half the texts mixed": lambda g: g.train(mixed_share=0.5),
    "two teachers, evenly": _mixed,
    "two teachers, weighted": lambda g: _mixed(g, g.weights),
    "labels spread to neighbours, 0.25": lambda g: _spread(g, 0.25),
    "labels spread to neighbours, 0.5": lambda g: _spread(g, 0.5),
    "second generation": lambda g: _generations(g, 2, 0.5),
    "third generation": lambda g: _generations(g, 3, 0.5),
    "four warm rounds": lambda g: _continual(g, 0.0),
    "four warm rounds, the last version counts 0.3": lambda g: _continual(g, 0.3),
}
