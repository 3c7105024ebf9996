"""What each way of distilling gives: temperatures, teachers, orders, augmentation, generations, calibration.

``python -m bench.distillation --kept FEATURES --out CELLS [--sets agnews banking77] [--arms …] [--seeds 5]``. A cell
(set, arm, seed) is a file in the folder ``--out``, and what is there is not run again; ``--report`` runs nothing and
prints the tables of docs/distillation.md from what is there. Every arm of a seed has the same labels, drawn at random,
and the same teacher: the logistic head on MiniLM's features.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.distillation_report import as_page
from bench.real_features import RealSet, keep_features
from bench.texts import labelled_texts

LABELS = {"agnews": 400, "banking77": 1_498}
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
        class_names: C names.
        seed: Of labels and student.
    """

    texts: list[str]
    labeled: NDArray[np.int64]
    y: NDArray[np.int64]
    soft: Probabilities
    lexical: Probabilities
    weights: NDArray[np.float64]
    near: NDArray[np.int64]
    class_names: tuple[str, ...]
    seed: int

    def train(self, soft: Probabilities | None = None, *, rows: NDArray[np.int64] | None = None, **options: Any) -> Any:
        """A student on ``soft`` (the teacher's where None) of ``rows`` (all where None), and on the labels."""
        from models.distill import distil

        P = self.soft if soft is None else soft
        chosen = np.arange(len(self.texts)) if rows is None else rows
        return distil(
            "hashed",
            [self.texts[row] for row in chosen],
            P[chosen],
            [self.texts[row] for row in self.labeled],
            self.y[self.labeled],
            class_names=self.class_names,
            rng=np.random.default_rng(self.seed),
            **options,
        ).student


def _generations(ground: Ground, n: int, teacher_share: float) -> Any:
    from models.transfer import Stage, distil_chain

    items = [ground.texts[row] for row in ground.labeled]
    made = distil_chain(
        [Stage("hashed", teacher_share)] * n,
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
    return distil("hashed", [], none, items, y, class_names=ground.class_names, rng=rng).student


def _calibrated(ground: Ground, n: int) -> Any:
    """A student whose sureness ``n`` of the labels say, which it then learns nothing from."""
    apart = np.sort(np.random.default_rng(ground.seed).permutation(ground.labeled)[:n])
    learned = replace(ground, labeled=np.setdiff1d(ground.labeled, apart))
    rows = np.setdiff1d(np.arange(len(ground.texts)), apart)
    return learned.train(rows=rows, calibration=([ground.texts[row] for row in apart], ground.y[apart]))


ARMS: Mapping[str, Callable[[Ground], Any]] = {
    "as it is": lambda g: g.train(),
    "calibrated on 25 labels": lambda g: _calibrated(g, 25),
    "calibrated on 50 labels": lambda g: _calibrated(g, 50),
    "calibrated on 100 labels": lambda g: _calibrated(g, 100),
    "labels only": _labels_only,
    "temperature 0.33": lambda g: g.train(temperature=0.33),
    "temperature 1": lambda g: g.train(temperature=1.0),
    "temperature 2": lambda g: g.train(temperature=2.0),
    "hard labels (self-training)": _hardened,
    "labels count 0": lambda g: g.train(label_weight=0.0),
    "labels count 8": lambda g: g.train(label_weight=8.0),
    "half the epochs": lambda g: g.train(epochs=4),
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
}


@cache
def _set(name: str, kept: Path) -> tuple[RealSet, RealSet, list[str], list[str], tuple[str, ...]]:
    texts, labels, _ = labelled_texts(1_000_000, name)
    test_texts, _, _ = labelled_texts(1_000_000, name, "test")
    return keep_features(name, kept), keep_features(name, kept, "hashed"), texts, test_texts, tuple(sorted(set(labels)))


def _ground(name: str, seed: int, kept: Path, out: Path) -> Ground:
    """The ground of a seed; the teachers' answers are kept in ``out``."""
    data, _, texts, _, class_names = _set(name, kept)
    file = out / f"{name}.{seed}.npz"
    if not file.exists():
        _teach(name, seed, kept, file)
    with np.load(file, allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in ("labeled", "soft", "lexical", "weights")}
    near = _near(name, kept, out)
    return Ground(texts, y=data.y, near=near, class_names=class_names, seed=seed, **found)


def _near(name: str, kept: Path, out: Path) -> NDArray[np.int64]:
    from sampler.neighbours import nearest_rows

    file = out / f"{name}.near.npz"
    if not file.exists():
        X = _set(name, kept)[0].X
        rows = np.arange(len(X))
        np.savez(file, near=nearest_rows(X, rows, rows, 10).rows)
    with np.load(file, allow_pickle=False) as arrays:
        near: NDArray[np.int64] = arrays["near"]
    return near


def _teach(name: str, seed: int, kept: Path, file: Path) -> None:
    from models.teachers import LogisticTeacher
    from models.transfer import fit_teacher_weights

    data, lexical, *_, class_names = _set(name, kept)
    rng = np.random.default_rng(seed)
    labeled = np.sort(rng.permutation(len(data.y))[: LABELS[name]])
    half = rng.random(len(labeled)) < 0.5
    answers: dict[str, Any] = {"labeled": labeled}
    apart = []
    for key, of in (("soft", data), ("lexical", lexical)):
        rows, y = of.X[labeled], data.y[labeled]
        teacher = LogisticTeacher.fit(rows, y, len(class_names), np.ones(len(y), bool), rng=rng, pool=of.X)
        answers[key], answers[f"{key}_test"] = teacher.predict_proba(of.X), teacher.predict_proba(of.test_features)
        unseen = np.empty((len(labeled), len(class_names)))
        for part in (half, ~half):
            fitted = LogisticTeacher.fit(
                rows[~part], y[~part], len(class_names), rng=rng, C=teacher.C, previous=teacher, pool=of.X
            )
            unseen[part] = fitted.predict_proba(rows[part])
        apart.append(unseen)
    np.savez(file, weights=fit_teacher_weights(apart, data.y[labeled]), **answers)


def run_cell(name: str, arm: str, seed: int, kept: Path, out: Path) -> dict[str, Any]:
    """One arm's student on the set's test texts."""
    from models.evaluate import accuracy, agreement, brier_score, expected_calibration_error, log_loss

    ground = _ground(name, seed, kept, out)
    data, _, _, test_texts, _ = _set(name, kept)
    with np.load(out / f"{name}.{seed}.npz", allow_pickle=False) as arrays:
        taught = arrays["soft_test"]
    began = time.process_time()
    student = ARMS[arm](ground) if arm != "teacher" else None
    cpu = time.process_time() - began
    P = taught if student is None else student.predict_proba(test_texts)
    return {
        "set": name,
        "arm": arm,
        "seed": seed,
        "accuracy": accuracy(data.test_y, P.argmax(1)),
        "agreement": agreement(taught, P),
        "log_loss": log_loss(data.test_y, P),
        "brier": brier_score(data.test_y, P),
        "ece": expected_calibration_error(data.test_y, P),
        "cpu_s": cpu,
    }


def main() -> None:
    """Run what is not there yet, or print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.distillation", description=__doc__.split("\n")[0])
    parser.add_argument("--kept", type=Path, required=True, help="folder of features (bench.real_features)")
    parser.add_argument("--out", type=Path, required=True, help="folder of cells")
    parser.add_argument("--sets", nargs="+", choices=list(LABELS), default=list(LABELS))
    parser.add_argument("--arms", nargs="+", choices=["teacher", *ARMS], default=["teacher", *ARMS])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--report", action="store_true", help="print the tables of what is there, run nothing")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.report:
        for seed in range(given.seeds):
            for name in given.sets:
                for arm in given.arms:
                    _keep_cell(name, arm, seed, given.kept, given.out)
    cells = [json.loads(file.read_text("utf-8")) for file in sorted(given.out.glob("*.cell.json"))]
    print(as_page(cells, ["teacher", *ARMS]))


def _keep_cell(name: str, arm: str, seed: int, kept: Path, out: Path) -> None:
    file = out / f"{name}.{arm.replace(' ', '_')}.{seed}.cell.json"
    if not file.exists():
        part = file.with_suffix(".part")
        part.write_text(json.dumps(run_cell(name, arm, seed, kept, out)), "utf-8")
        part.replace(file)


if __name__ == "__main__":
    from sampler.threads import single_thread

    with single_thread():
        main()
