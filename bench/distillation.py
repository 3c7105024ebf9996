"""What each way of distilling gives: temperatures, teachers, orders, augmentation, generations, calibration.

``python -m bench.distillation --kept FEATURES --out CELLS [--sets agnews banking77] [--arms …] [--seeds 5]
[--family static]``. A cell (set, family, arm, seed) is a file in the folder ``--out``, and what is there is not run
again; ``--report`` runs nothing and prints the tables of docs/distillation.md from what is there. Every arm of a seed
has the same labels, drawn at random, and the same teacher: the logistic head on MiniLM's features.
"""

from __future__ import annotations

import argparse
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.distillation_arms import ARMS, Ground
from bench.distillation_report import as_page
from bench.real_features import RealSet, keep_features
from bench.texts import labelled_texts

LABELS = {"agnews": 400, "banking77": 1_498}


@cache
def _set(name: str, kept: Path) -> tuple[RealSet, RealSet, list[str], list[str], tuple[str, ...]]:
    texts, labels, _ = labelled_texts(1_000_000, name)
    test_texts, _, _ = labelled_texts(1_000_000, name, "test")
    return keep_features(name, kept), keep_features(name, kept, "hashed"), texts, test_texts, tuple(sorted(set(labels)))


def _ground(name: str, seed: int, kept: Path, out: Path, family: str = "static") -> Ground:
    """The ground of a seed; the teachers' answers are kept in ``out``."""
    data, _, texts, _, class_names = _set(name, kept)
    file = out / f"{name}.{seed}.npz"
    if not file.exists():
        _teach(name, seed, kept, file)
    with np.load(file, allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in ("labeled", "soft", "lexical", "weights")}
    near = _near(name, kept, out)
    return Ground(
        texts, y=data.y, near=near, features=data.X, class_names=class_names, seed=seed, family=family, **found
    )


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


def run_cell(name: str, arm: str, seed: int, kept: Path, out: Path, family: str = "static") -> dict[str, Any]:
    """One arm's student on the set's test texts."""
    from models.evaluate import accuracy, agreement, brier_score, expected_calibration_error, log_loss

    ground = _ground(name, seed, kept, out, family)
    data, _, _, test_texts, _ = _set(name, kept)
    with np.load(out / f"{name}.{seed}.npz", allow_pickle=False) as arrays:
        taught = arrays["soft_test"]
    began = time.process_time()
    student = ARMS[arm](ground) if arm != "teacher" else None
    cpu = time.process_time() - began
    P = taught if student is None else student.predict_proba(test_texts)
    return {
        "set": name,
        "family": family,
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
    parser.add_argument("--family", choices=("static", "hashed"), default="static", help="of the students")
    parser.add_argument("--report", action="store_true", help="print the tables of what is there, run nothing")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.report:
        for seed in range(given.seeds):
            for name in given.sets:
                for arm in given.arms:
                    _keep_cell(name, arm, seed, given.kept, given.out, given.family)
    cells = [json.loads(file.read_text("utf-8")) for file in sorted(given.out.glob(f"*.{given.family}.*.cell.json"))]
    print(as_page(cells, ["teacher", *ARMS]))


def _keep_cell(name: str, arm: str, seed: int, kept: Path, out: Path, family: str) -> None:
    file = out / f"{name}.{family}.{arm.replace(' ', '_')}.{seed}.cell.json"
    if not file.exists():
        part = file.with_suffix(".part")
        part.write_text(json.dumps(run_cell(name, arm, seed, kept, out, family)), "utf-8")
        part.replace(file)


if __name__ == "__main__":
    from sampler.threads import single_thread

    with single_thread():
        main()
